//! What parent and child say to one another: two lengths, a JSON header, bytes.

use std::io::{self, Read, Write};

use clinical::imaging::Samples;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::decoded::{CodecError, Colours, Decoded, Expected};

/// The longest header; a codec's own words are cut to fit.
const MOST_HEADER: usize = 4_096;
const MOST_WORDS: usize = 500;
/// The longest codestream, 1 GiB.
const MOST_STREAM: usize = 1 << 30;

/// One frame to decode; the codestream follows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) codec: Codec,
    pub(super) expected: Expected,
    /// What the child may add to its address space.
    pub(super) memory_bytes: u64,
    /// How long the parent waits; an orphaned child ends itself after twice this time.
    pub(super) patience_ms: u64,
}

/// The header of an answer; the samples follow in little-endian order.
#[derive(Debug, Serialize, Deserialize)]
enum AnswerHeader {
    Decoded { rows: u32, columns: u32, precision: u8, colours: Colours, kind: Kind },
    Failed(CodecError),
}

/// The type of the samples.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
}

fn nonsense() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

pub(super) fn write_request(to: &mut impl Write, request: &Request, stream: &[u8]) -> io::Result<()> {
    write_message(to, request, stream)
}

/// The next request; `None` where the parent has closed the pipe.
pub(super) fn read_request(from: &mut impl Read) -> io::Result<Option<(Request, Vec<u8>)>> {
    read_message(from, MOST_STREAM)
}

pub(super) fn write_answer(to: &mut impl Write, answer: Result<Decoded, CodecError>) -> io::Result<()> {
    let decoded = match answer {
        Ok(decoded) => decoded,
        Err(error) => return write_message(to, &AnswerHeader::Failed(shortened(error)), &[]),
    };
    let Decoded { rows, columns, precision, colours, samples } = decoded;
    fn bytes<T: Copy, const N: usize>(values: &[T], bytes_of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|value| bytes_of(*value)).collect()
    }
    let (kind, body) = match samples {
        Samples::U8(values) => (Kind::U8, values),
        Samples::I8(values) => (Kind::I8, bytes(&values, i8::to_le_bytes)),
        Samples::U16(values) => (Kind::U16, bytes(&values, u16::to_le_bytes)),
        Samples::I16(values) => (Kind::I16, bytes(&values, i16::to_le_bytes)),
        Samples::U32(values) => (Kind::U32, bytes(&values, u32::to_le_bytes)),
        Samples::I32(values) => (Kind::I32, bytes(&values, i32::to_le_bytes)),
    };
    write_message(to, &AnswerHeader::Decoded { rows, columns, precision, colours, kind }, &body)
}

/// The answer to a request for `expected`; anything else is [`io::ErrorKind::InvalidData`].
pub(super) fn read_answer(
    from: &mut impl Read,
    expected: &Expected,
) -> io::Result<Result<Decoded, CodecError>> {
    let pixels = expected.rows as usize * expected.columns as usize;
    let most = pixels * usize::from(expected.components) * 4;
    let (header, body): (AnswerHeader, _) = read_message(from, most)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (rows, columns, precision, colours, kind) = match header {
        AnswerHeader::Failed(error) => return Ok(Err(error)),
        AnswerHeader::Decoded { rows, columns, precision, colours, kind } => {
            (rows, columns, precision, colours, kind)
        }
    };
    fn values<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
    }
    let (width, samples) = match kind {
        Kind::U8 => (1, Samples::U8(body)),
        Kind::I8 => (1, Samples::I8(values(&body, i8::from_le_bytes))),
        Kind::U16 => (2, Samples::U16(values(&body, u16::from_le_bytes))),
        Kind::I16 => (2, Samples::I16(values(&body, i16::from_le_bytes))),
        Kind::U32 => (4, Samples::U32(values(&body, u32::from_le_bytes))),
        Kind::I32 => (4, Samples::I32(values(&body, i32::from_le_bytes))),
    };
    let count = u64::from(rows) * u64::from(columns) * u64::from(expected.components);
    let fits = rows <= expected.rows && columns <= expected.columns && samples.len() as u64 == count;
    if !fits || precision == 0 || precision > width * 8 {
        return Err(nonsense());
    }
    Ok(Ok(Decoded { rows, columns, precision, colours, samples }))
}

fn shortened(error: CodecError) -> CodecError {
    let short = |words: String| words.chars().take(MOST_WORDS).collect();
    match error {
        CodecError::Unsupported(words) => CodecError::Unsupported(short(words)),
        CodecError::Malformed(words) => CodecError::Malformed(short(words)),
        CodecError::Failed(words) => CodecError::Failed(short(words)),
    }
}

fn write_message(to: &mut impl Write, header: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let mut head = Vec::with_capacity(16 + header.len());
    head.extend_from_slice(&(header.len() as u64).to_le_bytes());
    head.extend_from_slice(&(body.len() as u64).to_le_bytes());
    head.extend_from_slice(&header);
    to.write_all(&head)?;
    to.write_all(body)?;
    to.flush()
}

fn read_message<T: for<'de> Deserialize<'de>>(
    from: &mut impl Read,
    most_body: usize,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 16];
    if from.read(&mut lengths[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut lengths[1..])?;
    let (halves, _) = lengths.as_chunks::<8>();
    let [header_length, body_length] = [halves[0], halves[1]].map(u64::from_le_bytes);
    if header_length > MOST_HEADER as u64 || body_length > most_body as u64 {
        return Err(nonsense());
    }
    let mut header = vec![0; header_length as usize];
    from.read_exact(&mut header)?;
    let header = serde_json::from_slice(&header).map_err(|_| nonsense())?;
    let mut body = Vec::new();
    body.try_reserve_exact(body_length as usize).map_err(|_| io::ErrorKind::OutOfMemory)?;
    from.take(body_length).read_to_end(&mut body)?;
    if body.len() as u64 != body_length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((header, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected =
        Expected { rows: 1, columns: 2, components: 1, bits_allocated: 16, least_size: None };

    fn answered(answer: Result<Decoded, CodecError>) -> io::Result<Result<Decoded, CodecError>> {
        let mut pipe = Vec::new();
        write_answer(&mut pipe, answer)?;
        read_answer(&mut pipe.as_slice(), &EXPECTED)
    }

    fn image(samples: Samples) -> Decoded {
        Decoded { rows: 1, columns: 2, precision: 8, colours: Colours::AsDeclared, samples }
    }

    #[test]
    fn samples_of_every_type_arrive_as_they_left() {
        for samples in [
            Samples::U8(vec![1, 255]),
            Samples::I8(vec![-1, 127]),
            Samples::U16(vec![1, 65_535]),
            Samples::I16(vec![-2, 3]),
            Samples::U32(vec![1, u32::MAX]),
            Samples::I32(vec![i32::MIN, 5]),
        ] {
            assert_eq!(answered(Ok(image(samples.clone()))).unwrap(), Ok(image(samples)));
        }
    }

    #[test]
    fn a_long_complaint_is_cut() {
        let answer = answered(Err(CodecError::Failed("é".repeat(9_000)))).unwrap();
        assert_eq!(answer, Err(CodecError::Failed("é".repeat(MOST_WORDS))));
    }

    #[test]
    fn an_answer_of_another_size_is_nonsense() {
        for samples in [Samples::U8(vec![1]), Samples::U8(vec![1, 2, 3]), Samples::U32(vec![0; 9])] {
            assert_eq!(answered(Ok(image(samples))).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn lengths_without_bytes_are_no_message() {
        let mut endless: &[u8] = &[0xFF; 16];
        assert_eq!(read_answer(&mut endless, &EXPECTED).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read_request(&mut [0; 3].as_slice()).is_err());
        assert!(read_request(&mut [].as_slice()).unwrap().is_none());
    }
}
