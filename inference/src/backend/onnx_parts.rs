//! An ONNX file without the numbers of its large tensors, which stay where they lie.
//!
//! Whoever decodes a file copies all of it, and makes tensors of the copy: three times the weights at once. What is left out
//! here is copied by whoever needs it, once, or never. The numbers of fields are onnx.proto's.

use std::collections::BTreeMap;

use models::protobuf::{Field, Value, push, varint};

/// Bytes from which on a tensor's numbers are left out.
const LARGE: usize = 1024;
/// `TensorProto.DataType.FLOAT`
const FLOAT: u64 = 1;

/// A file in two parts.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The file without the numbers of its large tensors.
    pub rest: Vec<u8>,
    /// Those numbers, little-endian, by the tensor's name.
    pub numbers: BTreeMap<String, &'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Both parts; `None` for what is none of the files that this is for, which is left to the decoder as it is.
    pub fn of(file: &'a [u8]) -> Option<Parts<'a>> {
        let mut parts = Parts { rest: Vec::new(), numbers: BTreeMap::new() };
        let (mut left, mut has_graph) = (file, false);
        while !left.is_empty() {
            let field = Field::next(&mut left)?;
            match field.value {
                // two graphs in a file would be joined
                Value::Bytes(_) if field.number == 7 && has_graph => return None,
                Value::Bytes(graph) if field.number == 7 => {
                    has_graph = true;
                    let graph = parts.graph(graph)?;
                    push(&mut parts.rest, 7, &graph);
                }
                _ => parts.rest.extend_from_slice(field.whole),
            }
        }
        has_graph.then_some(parts)
    }

    fn graph(&mut self, graph: &'a [u8]) -> Option<Vec<u8>> {
        let (mut left, mut rest) = (graph, Vec::new());
        while !left.is_empty() {
            let field = Field::next(&mut left)?;
            let tensor = match field.value {
                Value::Bytes(tensor) if field.number == 5 && tensor.len() > LARGE => large_tensor(tensor),
                _ => None,
            };
            let Some((name, numbers, tensor)) = tensor else {
                rest.extend_from_slice(field.whole);
                continue;
            };
            if self.numbers.insert(name, numbers).is_some() {
                return None;
            }
            push(&mut rest, 5, &tensor);
        }
        Some(rest)
    }
}

/// A tensor of 32-bit numbers that lie in it as they are: its name, its numbers, and the rest of it.
fn large_tensor(tensor: &[u8]) -> Option<(String, &[u8], Vec<u8>)> {
    let (mut left, mut rest) = (tensor, Vec::new());
    let (mut name, mut numbers, mut kind, mut count) = (None, None, None, 1_u64);
    while !left.is_empty() {
        let field = Field::next(&mut left)?;
        match (field.number, field.value) {
            (9, Value::Bytes(bytes)) => {
                if numbers.replace(bytes).is_some() {
                    return None;
                }
                continue;
            }
            (1, Value::Whole(side)) => count = count.checked_mul(side)?,
            (1, Value::Bytes(mut sides)) => {
                while !sides.is_empty() {
                    count = count.checked_mul(varint(&mut sides)?)?;
                }
            }
            (2, Value::Whole(number)) => kind = Some(number),
            (8, Value::Bytes(text)) => name = Some(std::str::from_utf8(text).ok()?.to_owned()),
            // numbers in other fields, in pieces, or in other files
            (3..=7 | 10 | 11 | 13 | 14, _) => return None,
            _ => {}
        }
        rest.extend_from_slice(field.whole);
    }
    let numbers = numbers.filter(|it| it.len() >= LARGE && count.checked_mul(4) == Some(it.len() as u64))?;
    (kind == Some(FLOAT)).then_some((name?, numbers, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        push(&mut field, number, bytes);
        field
    }

    fn tensor(name: &str, numbers: usize, declared: u8) -> Vec<u8> {
        let sides = [8, declared, 8, 64];
        [&sides[..], &[16, 1], &field(8, name.as_bytes()), &field(9, &vec![7; 4 * numbers])].concat()
    }

    fn file(tensors: &[Vec<u8>]) -> Vec<u8> {
        let graph: Vec<u8> = tensors.iter().flat_map(|it| field(5, it)).collect();
        [&[8, 8][..], &field(7, &[&graph[..], &field(2, b"made")].concat())].concat()
    }

    #[test]
    fn large_tensors_stay_where_they_lie() {
        let whole = file(&[tensor("large", 320, 5), tensor("small", 64, 1)]);
        let parts = Parts::of(&whole).unwrap();
        assert_eq!(parts.numbers.keys().collect::<Vec<_>>(), ["large"]);
        assert_eq!(parts.numbers["large"].len(), 1280);
        let empty = [&[8, 5, 8, 64, 16, 1][..], &field(8, b"large")].concat();
        assert_eq!(parts.rest, file(&[empty, tensor("small", 64, 1)]));
    }

    #[test]
    fn what_is_not_as_it_is_declared_is_left_as_it_is() {
        let whole = file(&[tensor("other", 320, 6)]);
        let parts = Parts::of(&whole).unwrap();
        assert!(parts.numbers.is_empty() && parts.rest == whole);
        let twice = file(&[tensor("one", 320, 5), tensor("one", 320, 5)]);
        assert!(Parts::of(&twice).is_none());
        assert!(Parts::of(b"").is_none() && Parts::of(b"<html>").is_none());
        for end in 0..whole.len() {
            assert!(Parts::of(&whole[..end]).is_none(), "cut after {end} bytes");
        }
    }
}
