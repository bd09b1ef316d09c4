//! Bodies whole, cut, ambiguous, and in every chunking.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{FutureExt, stream};
use proptest::prelude::*;

use super::*;

/// The chunks of these tests never keep anyone waiting.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

const TYPE: &str = "multipart/related; type=\"application/dicom\"; boundary=b0und";

type Parts = Vec<(PartHead, Vec<u8>)>;

/// All parts of a body that comes in `chunks`.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Parts, StowError> {
    let (boundary, by) = Boundary::from_content_type(TYPE).unwrap();
    let chunks: Vec<_> =
        chunks.into_iter().map(|it| Ok::<_, Infallible>(Bytes::copy_from_slice(it))).collect();
    let mut reader = PartReader::new(stream::iter(chunks), &boundary, by.as_deref());
    block_on(async {
        let mut parts = Vec::new();
        while let Some(head) = reader.next_part().await? {
            let mut data = Vec::new();
            while let Some(chunk) = reader.chunk().await? {
                assert!(!chunk.is_empty());
                data.extend_from_slice(&chunk);
            }
            parts.push((head, data));
        }
        assert!(matches!(reader.next_part().await, Ok(None)));
        Ok(parts)
    })
}

fn data_of(body: &[u8]) -> Result<Vec<Vec<u8>>, StowError> {
    read([body]).map(|parts| parts.into_iter().map(|(_, data)| data).collect())
}

fn body(parts: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(b"\r\n--b0und\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(part);
    }
    body.extend_from_slice(b"\r\n--b0und--\r\n");
    body
}

#[test]
fn parts_come_with_their_headers() {
    let text = b"preamble\r\n--b0und \t\r\nContent-Type: application/dicom;\r\n transfer-syntax=*\r\n\
        Content-Location: /1\r\nContent-Length: 4\r\n\r\n\r\n\r\n\r\n--b0und\r\nCONTENT-TYPE:a/b\r\n\r\n\
        two\r\n--b0und-- \r\nepilogue";
    let parts = read([&text[..]]).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].0.content_type.as_deref(), Some("application/dicom; transfer-syntax=*"));
    assert_eq!(parts[0].0.content_location.as_deref(), Some("/1"));
    assert_eq!(parts[0].1, b"\r\n\r\n");
    assert_eq!((parts[1].0.content_type.as_deref(), &parts[1].1[..]), (Some("a/b"), &b"two"[..]));
}

#[test]
fn the_first_delimiter_may_open_the_body() {
    assert_eq!(data_of(&body(&[b"one"])[2..]).unwrap(), [b"one"]);
    assert_eq!(data_of(&body(&[b"one", b""])).unwrap(), [&b"one"[..], b""]);
}

/// RFC 2046, section 5.1.1: a part may have no data, and then its empty line's end is the delimiter's.
#[test]
fn a_delimiter_may_follow_the_headers_at_once() {
    let text = b"--b0und\r\nContent-Type: a/b\r\n\r\n--b0und--";
    assert_eq!(data_of(text).unwrap(), [b""]);
}

/// A server that cuts at CRLF and boundary whatever follows loses the rest of such an instance.
#[test]
fn boundary_text_that_is_no_whole_line_is_data() {
    let pixels: [&[u8]; 8] = [
        b"a--b0und\r\nb",
        b"a\r--b0und\r\nb",
        b"a\n--b0und\r\nb",
        b"a\r\n--b0undary\r\nb",
        b"a\r\n--b0und-\r\nb",
        b"a\r\n--b0und--b",
        b"a\r\n--b0und \rb\r\n--b0un",
        b"a\r\n--b0und\nb\r\n--b0und\r",
    ];
    let read = data_of(&body(&pixels)).unwrap();
    assert_eq!(read, pixels);
}

/// What follows such a line is pixels, not headers: 400, never a shorter instance.
#[test]
fn a_whole_delimiter_line_in_the_data_fails_the_body() {
    let cases: [(&[u8], &str); 4] = [
        (b"a\r\n--b0und\r\n\x00\x01\x02", "headers"),
        (b"a\r\n--b0und\r\nX: y\r\n\r\nb", "no content type"),
        (b"a\r\n--b0und--\r\nb", "a delimiter behind the close"),
        (b"a\r\n--b0und\r\n\r\nb", "no headers"),
    ];
    for (pixels, case) in cases {
        assert!(data_of(&body(&[b"first", pixels, b"last"])).is_err(), "{case}");
    }
}

#[test]
fn a_long_epilogue_is_data_behind_a_false_end() {
    let mut text = body(&[b"one"]);
    text.resize(text.len() + (64 << 10) + 1, 7);
    assert!(matches!(data_of(&text), Err(StowError::Unclear)));
    let mut text = vec![7; (64 << 10) + 1];
    text.extend(body(&[b"one"]));
    assert!(matches!(data_of(&text), Err(StowError::Unclear)));
}

#[test]
fn a_body_cut_anywhere_is_an_error() {
    let whole = body(&[b"one", b"two"]);
    // from `--b0und--` on the body is whole, whatever becomes of its last CRLF
    let closed = whole.len() - 2;
    for end in 0..closed {
        assert!(matches!(data_of(&whole[..end]), Err(StowError::Truncated)), "{end}");
    }
    assert_eq!(data_of(&whole[..closed]).unwrap().len(), 2);
}

#[test]
fn malformed_headers_fail_the_body() {
    for head in [
        "no colon",
        ": no name",
        "a b: c/d",
        "Content-Type: a/b\r\nContent-Type: a/b",
        "Content-Type: x",
        "X: \x01\r\nContent-Type: a/b",
        " folded: first",
        "Content-Length: x\r\nContent-Type: a/b",
        "--b0und: a/b",
    ] {
        let text = format!("--b0und\r\n{head}\r\n\r\ndata\r\n--b0und--\r\n");
        assert!(matches!(data_of(text.as_bytes()), Err(StowError::BadHead)), "{head}");
    }
    let large = format!("--b0und\r\nContent-Type: a/b\r\nX: {}\r\n\r\n\r\n--b0und--", "x".repeat(16 << 10));
    assert!(matches!(data_of(large.as_bytes()), Err(StowError::HeadTooLarge)));
    let padded = format!("--b0und{}\r\nContent-Type: a/b\r\n\r\n\r\n--b0und--", " ".repeat(1025));
    assert!(matches!(data_of(padded.as_bytes()), Err(StowError::Unclear)));
}

#[test]
fn the_content_length_of_a_part_must_be_true() {
    for (declared, is_true) in [(3, true), (2, false), (4, false), (0, false)] {
        let head = format!("Content-Type: a/b\r\nContent-Length: {declared}");
        let text = format!("--b0und\r\n{head}\r\n\r\none\r\n--b0und--");
        let read = data_of(text.as_bytes());
        assert_eq!(matches!(read, Err(StowError::LengthMismatch)), !is_true, "{declared}");
        assert_eq!(read.is_ok(), is_true);
    }
}

#[test]
fn an_unread_part_is_passed_over_and_an_error_stays() {
    let (boundary, by) = Boundary::from_content_type(TYPE).unwrap();
    let text = Bytes::from([&body(&[b"one", b"two"])[..], b"\r\n--b0und\r\n"].concat());
    let chunks = stream::iter([Ok::<_, Infallible>(text)]);
    let mut reader = PartReader::new(chunks, &boundary, by.as_deref());
    block_on(async {
        assert!(reader.next_part().await.unwrap().is_some());
        assert!(reader.next_part().await.unwrap().is_some());
        assert_eq!(reader.chunk().await.unwrap().unwrap(), "two");
        assert!(reader.next_part().await.is_err());
        assert!(reader.next_part().await.is_err());
        assert!(reader.chunk().await.is_err());
    });
}

/// A slice of the chunk itself, not a copy of it.
#[test]
fn data_is_not_copied() {
    let (boundary, by) = Boundary::from_content_type(TYPE).unwrap();
    let large = Bytes::from(vec![1; 1 << 20]);
    let chunks =
        [Bytes::from_static(b"--b0und\r\nContent-Type: a/b\r\n\r\n"), large.clone()].map(Ok::<_, Infallible>);
    let mut reader = PartReader::new(stream::iter(chunks), &boundary, by.as_deref());
    block_on(async {
        reader.next_part().await.unwrap();
        let mut copied = 0;
        while let Ok(Some(chunk)) = reader.chunk().await {
            if !large.as_ptr_range().contains(&chunk.as_ptr()) {
                copied += chunk.len();
            }
        }
        assert!(copied <= JOINT_BYTES, "{copied}");
    });
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let near: Vec<Vec<u8>> = [
        "\r\n--b0und",
        "\r\n--b0und--",
        "\r\n--",
        "--b0und",
        "\r",
        "\r\n",
        "-",
        "\r\n--b0un",
        " ",
        "\r\n--b0undX",
        "\r\r\n--b0und!",
    ]
    .map(|text| text.into())
    .to_vec();
    prop_oneof![prop::sample::select(near), prop::collection::vec(any::<u8>(), 0..6)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever the body means, it means the same in any chunks; and data without a whole delimiter line reads back.
    #[test]
    fn the_chunking_changes_nothing(
        parts in prop::collection::vec(prop::collection::vec(piece(), 0..8), 1..4),
        sizes in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let parts: Vec<Vec<u8>> = parts.iter().map(|pieces| pieces.concat()).collect();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let whole = body(&slices);
        let mut chunks = Vec::new();
        let mut rest = &whole[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, behind) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = behind;
        }
        let (at_once, in_chunks) = (read([&whole[..]]), read(chunks));
        let by_bytes = read(whole.chunks(1));
        prop_assert_eq!(format!("{at_once:?}"), format!("{in_chunks:?}"));
        prop_assert_eq!(format!("{at_once:?}"), format!("{by_bytes:?}"));
        if let Ok(read) = at_once {
            // a part that reads is a part that was sent
            let data: Vec<&[u8]> = read.iter().map(|(_, data)| data.as_slice()).collect();
            prop_assert_eq!(data, slices);
        }
    }
}
