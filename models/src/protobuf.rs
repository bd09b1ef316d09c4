//! Fields of protobuf's messages, read and written where a network's file is more than a decoder should copy.

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// As the message's definition counts it.
    pub number: u64,
    /// What it holds.
    pub value: Value<'a>,
    /// All of it as it stands in the file.
    pub whole: &'a [u8],
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A whole number.
    Whole(u64),
    /// A message, a text or packed numbers.
    Bytes(&'a [u8]),
    /// A number of four or eight bytes.
    Fixed,
}

impl<'a> Field<'a> {
    /// The first field of what is left, which is then what follows it; `None` for what is no field.
    pub fn next(left: &mut &'a [u8]) -> Option<Field<'a>> {
        let start = *left;
        let tag = varint(left)?;
        let value = match tag & 7 {
            0 => Value::Whole(varint(left)?),
            2 => {
                let len = usize::try_from(varint(left)?).ok()?;
                Value::Bytes(left.split_off(..len)?)
            }
            1 => left.split_off(..8).map(|_| Value::Fixed)?,
            5 => left.split_off(..4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some(Field { number: tag >> 3, value, whole: &start[..start.len() - left.len()] })
    }
}

/// The number at the beginning of what is left, which is then what follows it; `None` for what is none.
pub fn varint(left: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let byte = *left.split_off_first()?;
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Adds a field of bytes.
pub fn push(to: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    push_start(to, number, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Adds the beginning of a field of so many bytes, which are to follow.
pub fn push_start(to: &mut Vec<u8>, number: u64, len: u64) {
    for mut value in [number << 3 | 2, len] {
        while value >= 0x80 {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_not() {
        let mut message = Vec::new();
        push(&mut message, 300, &[7; 200]);
        let mut left = &message[..];
        let field = Field::next(&mut left).unwrap();
        assert!(matches!(field.value, Value::Bytes(bytes) if bytes == [7; 200]) && field.number == 300);
        assert!(left.is_empty() && field.whole == message);
        for end in 0..message.len() {
            assert!(Field::next(&mut &message[..end]).is_none(), "cut after {end} bytes");
        }
        assert_eq!(varint(&mut &[0xFF; 11][..]), None, "longer than any number");
    }
}
