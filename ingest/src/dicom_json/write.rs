//! The text itself: strings, numbers, names and binary values, each as PS3.18, section F.2.3 says.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dicom_core::value::PrimitiveValue;
use dicom_core::{Tag, VR};

/// Stands for the URL of the instance; no JSON text holds this byte, for control characters are escaped in it.
pub const URL_PLACE: u8 = 0x01;

/// Whole numbers up to it are numbers in every reader of JSON (RFC 8259, section 6).
const EXACT_MOST: u64 = (1 << 53) - 1;
/// The longest decimal string (PS3.5, table 6.2-1).
const DECIMAL_BYTES: usize = 16;

/// JSON under construction.
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A comma, where something of the same kind stands before.
    fn next(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    pub(super) fn open_object(&mut self) {
        self.next();
        self.out.push(b'{');
    }

    pub(super) fn close_object(&mut self) {
        self.out.push(b'}');
    }

    /// `"00100010":{"vr":"PN"`, left open.
    pub(super) fn open_attribute(&mut self, tag: Tag, vr: VR) {
        self.next();
        self.out.push(b'"');
        self.tag(tag);
        self.raw(r#"":{"vr":""#);
        self.out.extend_from_slice(&vr.to_bytes());
        self.out.push(b'"');
    }

    fn tag(&mut self, tag: Tag) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for half in [tag.group(), tag.element()] {
            for shift in [12, 8, 4, 0] {
                self.out.push(DIGITS[usize::from(half >> shift & 0xF)]);
            }
        }
    }

    pub(super) fn bulk_data_uri(&mut self, path: &str, tag: Tag) {
        self.raw(r#","BulkDataURI":""#);
        self.out.push(URL_PLACE);
        self.raw("/bulkdata/");
        self.raw(path);
        self.tag(tag);
        self.out.push(b'"');
    }

    pub(super) fn inline_binary(&mut self, value: &PrimitiveValue) {
        self.raw(r#","InlineBinary":""#);
        let (bytes, start) = (binary(value), self.out.len());
        self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        // the place is exactly as long as the text
        let written = STANDARD.encode_slice(bytes, &mut self.out[start..]).unwrap_or(0);
        self.out.truncate(start + written);
        self.out.push(b'"');
    }

    /// `,"Value":[…]` of a value that is neither binary nor a sequence.
    pub(super) fn values(&mut self, vr: VR, value: &PrimitiveValue) {
        self.raw(r#","Value":["#);
        match value {
            PrimitiveValue::Strs(texts) => texts.iter().for_each(|text| self.text(vr, text)),
            PrimitiveValue::Str(text) => self.text(vr, text),
            PrimitiveValue::Tags(tags) => {
                for tag in tags {
                    self.next();
                    self.out.push(b'"');
                    self.tag(*tag);
                    self.out.push(b'"');
                }
            }
            PrimitiveValue::U8(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::I16(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::U16(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::I32(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::U32(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::I64(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::U64(numbers) => numbers.iter().for_each(|it| self.whole((*it).into())),
            PrimitiveValue::F32(numbers) => numbers.iter().for_each(|it| self.real(*it, (*it).into())),
            PrimitiveValue::F64(numbers) => numbers.iter().for_each(|it| self.real(*it, *it)),
            // the reader of files leaves dates and times as texts
            other => other.to_multi_str().iter().for_each(|text| self.text(vr, text)),
        }
        self.out.push(b']');
    }

    fn text(&mut self, vr: VR, text: &str) {
        self.next();
        match vr {
            _ if text.is_empty() => self.raw("null"),
            VR::PN => self.person_name(text),
            VR::IS | VR::DS => self.decimal(text),
            _ => self.string(text),
        }
    }

    /// A person name by its component groups (F.2.2).
    fn person_name(&mut self, text: &str) {
        self.out.push(b'{');
        for (name, group) in ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(text.split('=')) {
            if !group.is_empty() {
                self.next();
                self.string(name);
                self.out.push(b':');
                self.string(group);
            }
        }
        self.out.push(b'}');
    }

    /// A decimal or integer string as a number where it is one, with all of its digits.
    fn decimal(&mut self, text: &str) {
        let number = text.trim();
        if is_plain_number(number) {
            return self.raw(number);
        }
        let number = number.trim_start_matches('+');
        if number.is_empty() {
            return self.raw("null");
        }
        match number.parse::<i64>() {
            Ok(whole) => self.show(whole),
            Err(_) => match number.parse::<f64>().ok().filter(|real| real.is_finite()) {
                Some(real) => self.shortest(real),
                None => self.string(text),
            },
        }
    }

    fn whole(&mut self, number: i128) {
        self.next();
        let is_exact = number.unsigned_abs() <= EXACT_MOST.into();
        if is_exact {
            self.show(number);
        } else {
            self.string(&number.to_string());
        }
    }

    fn real(&mut self, number: impl serde::Serialize, wide: f64) {
        self.next();
        match wide {
            it if it.is_finite() => self.shortest(number),
            it if it.is_nan() => self.string("NaN"),
            it if it > 0.0 => self.string("inf"),
            _ => self.string("-inf"),
        }
    }

    fn show(&mut self, number: impl std::fmt::Display) {
        write!(self.out, "{number}").expect("a vector takes whatever is written");
    }

    /// The shortest text that reads back as the same number.
    fn shortest(&mut self, number: impl serde::Serialize) {
        serde_json::to_writer(&mut self.out, &number).expect("a vector takes whatever is written");
    }

    /// A quoted text; what JSON cannot hold as it is, is escaped (RFC 8259, section 7).
    pub(super) fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.raw(&text[from..at]);
            from = at + 1;
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.raw("\\n"),
                b'\r' => self.raw("\\r"),
                b'\t' => self.raw("\\t"),
                byte => self.raw(&format!("\\u{byte:04x}")),
            }
        }
        self.raw(&text[from..]);
        self.out.push(b'"');
    }
}

/// Whether the text is a number of JSON as it stands, and one that no reader finds too large.
fn is_plain_number(text: &str) -> bool {
    let (whole, fraction) = match text.strip_prefix('-').unwrap_or(text).split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text.strip_prefix('-').unwrap_or(text), None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    text.len() <= DECIMAL_BYTES
        && are_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
}

/// The bytes of a binary value, little-endian.
pub(super) fn binary(value: &PrimitiveValue) -> Cow<'_, [u8]> {
    macro_rules! bytes {
        ($numbers:expr) => {
            Cow::Owned($numbers.iter().flat_map(|it| it.to_le_bytes()).collect())
        };
    }
    match value {
        PrimitiveValue::U8(bytes) => Cow::Borrowed(bytes),
        PrimitiveValue::U16(numbers) => bytes!(numbers),
        PrimitiveValue::I16(numbers) => bytes!(numbers),
        PrimitiveValue::U32(numbers) => bytes!(numbers),
        PrimitiveValue::I32(numbers) => bytes!(numbers),
        PrimitiveValue::U64(numbers) => bytes!(numbers),
        PrimitiveValue::I64(numbers) => bytes!(numbers),
        PrimitiveValue::F32(numbers) => bytes!(numbers),
        PrimitiveValue::F64(numbers) => bytes!(numbers),
        other => Cow::Owned(other.to_bytes().into_owned()),
    }
}
