//! The bytes of one plain value as dicom-object holds it.

use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_core::value::{C, PrimitiveValue};

use crate::charset::{Charset, Kind};
use crate::element::unit;
use crate::syntax::Encoding;

/// The value of `bytes`. Texts lose the padding at their end; numbers whose length is wrong stay bytes.
///
/// Each backslash that parts two texts costs one of `split_values`; a text with more of them stays whole, so that
/// a file of backslashes cannot cost many times its size.
pub(crate) fn read(
    bytes: &[u8],
    vr: VR,
    encoding: Encoding,
    charset: &Charset,
    split_values: &mut u32,
) -> PrimitiveValue {
    if bytes.is_empty() {
        return PrimitiveValue::Empty;
    }
    if !bytes.len().is_multiple_of(unit(vr) as usize) {
        return PrimitiveValue::U8(bytes.into());
    }
    let is_big = encoding == Encoding::ExplicitBe;
    macro_rules! numbers {
        ($variant:ident, $number:ty) => {{
            let numbers = bytes.as_chunks().0.iter();
            PrimitiveValue::$variant(if is_big {
                numbers.map(|it| <$number>::from_be_bytes(*it)).collect()
            } else {
                numbers.map(|it| <$number>::from_le_bytes(*it)).collect()
            })
        }};
    }
    match vr {
        VR::US => numbers!(U16, u16),
        VR::OW if bytes.len().is_multiple_of(2) => numbers!(U16, u16),
        VR::SS => numbers!(I16, i16),
        VR::UL | VR::OL => numbers!(U32, u32),
        VR::SL => numbers!(I32, i32),
        VR::UV | VR::OV => numbers!(U64, u64),
        VR::SV => numbers!(I64, i64),
        VR::FL | VR::OF => numbers!(F32, f32),
        VR::FD | VR::OD => numbers!(F64, f64),
        VR::AT => {
            let tags: C<Tag> = bytes.as_chunks().0.iter().map(|it| encoding.tag(*it)).collect();
            PrimitiveValue::Tags(tags)
        }
        VR::OB | VR::OW | VR::UN | VR::SQ => PrimitiveValue::U8(bytes.into()),
        VR::ST | VR::LT | VR::UT => PrimitiveValue::Str(charset.decode(unpadded(bytes), Kind::Text)),
        VR::UR => PrimitiveValue::Str(Charset::default().decode(unpadded(bytes), Kind::Text)),
        VR::PN => texts(charset.decode(unpadded(bytes), Kind::Name), split_values),
        VR::SH | VR::LO | VR::UC => texts(charset.decode(unpadded(bytes), Kind::Text), split_values),
        _ => texts(Charset::default().decode(unpadded(bytes), Kind::Text), split_values),
    }
}

/// `bytes` without the spaces and NULs at their end (PS3.5, section 6.2).
fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' '));
    end.map_or(&[], |last| &bytes[..=last])
}

/// Split after decoding, because a backslash may be half a character of GBK or Shift JIS.
fn texts(text: String, split_values: &mut u32) -> PrimitiveValue {
    let parts = text.bytes().filter(|byte| *byte == b'\\').count();
    if text.is_empty() {
        return PrimitiveValue::Empty;
    }
    if parts == 0 {
        return PrimitiveValue::Strs(C::from_elem(text, 1));
    }
    match u32::try_from(parts).ok().and_then(|parts| split_values.checked_sub(parts)) {
        Some(left) => {
            *split_values = left;
            PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect())
        }
        None => PrimitiveValue::Str(text),
    }
}
