//! Text bytes into text, by Specific Character Set (0008,0005).

use std::borrow::Cow;

use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

const ESCAPE: u8 = 0x1B;

/// The character set that holds in a data set or item.
#[derive(Debug, Clone, Default)]
pub(crate) struct Charset(SpecificCharacterSet);

impl Charset {
    /// The set that the value of (0008,0005) names first; others follow by escape sequences inside a text.
    /// An unknown name means the default repertoire.
    pub(crate) fn named(value: &str) -> Self {
        let first = value.split('\\').next().unwrap_or_default().trim();
        Self(SpecificCharacterSet::from_code(first).unwrap_or_default())
    }

    /// The text of `bytes`, delimiters kept; what cannot be decoded is replaced, never an error.
    pub(crate) fn decode(&self, bytes: &[u8]) -> String {
        if bytes.contains(&ESCAPE) {
            return self.decode_with_escapes(bytes);
        }
        if bytes.is_ascii() || self.0 == SpecificCharacterSet::ISO_IR_192 {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        decoded(&self.0, bytes)
    }

    /// Code extensions of ISO 2022 (PS3.5, section 6.1.2.5): each escape sequence begins a run of another set.
    fn decode_with_escapes(&self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        let mut runs = bytes.split(|byte| *byte == ESCAPE);
        text.push_str(&self.decode(runs.next().unwrap_or_default()));
        for run in runs {
            match escaped(run) {
                Some((charset, Cow::Borrowed(rest))) if rest.is_ascii() && charset.is_ascii() => {
                    text.push_str(&String::from_utf8_lossy(rest));
                }
                Some((charset, run)) => text.push_str(&decoded(&charset.codec(), &run)),
                None => text.push_str(&String::from_utf8_lossy(run)),
            }
        }
        text
    }
}

/// What an escape sequence switches to.
struct Extension(&'static str);

impl Extension {
    fn is_ascii(&self) -> bool {
        self.0 == "ISO_IR 6"
    }

    fn codec(&self) -> SpecificCharacterSet {
        SpecificCharacterSet::from_code(self.0).unwrap_or_default()
    }
}

/// The set that `run`, the bytes behind an ESC, begins with, and its bytes as that set's codec wants them.
///
/// Source: DICOM PS3.3, tables C.12-3 and C.12-4.
fn escaped(run: &[u8]) -> Option<(Extension, Cow<'_, [u8]>)> {
    if run.starts_with(b"$B") || run.starts_with(b"$(D") {
        // the codec of ISO-2022-JP reads the escape sequence itself
        return Some((Extension("ISO_IR 87"), Cow::Owned([&[ESCAPE], run].concat())));
    }
    let sets: [(&[u8], &str); 15] = [
        (b"(B", "ISO_IR 6"),
        (b"(J", "ISO_IR 13"),
        (b")I", "ISO_IR 13"),
        (b"$)C", "ISO_IR 149"),
        (b"$)A", "GBK"),
        (b"-A", "ISO_IR 100"),
        (b"-B", "ISO_IR 101"),
        (b"-C", "ISO_IR 109"),
        (b"-D", "ISO_IR 110"),
        (b"-F", "ISO_IR 126"),
        (b"-G", "ISO_IR 127"),
        (b"-H", "ISO_IR 138"),
        (b"-L", "ISO_IR 144"),
        (b"-T", "ISO_IR 166"),
        (b"-M", "ISO_IR 148"),
    ];
    sets.iter().find_map(|(escape, name)| {
        run.strip_prefix(*escape).map(|rest| (Extension(name), Cow::Borrowed(rest)))
    })
}

fn decoded(codec: &SpecificCharacterSet, bytes: &[u8]) -> String {
    codec.decode(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 10] = [
        "ISO_IR 13",
        "ISO 2022 IR 87",
        "ISO_IR 100",
        "ISO_IR 127",
        "ISO 2022 IR 149",
        "ISO_IR 166",
        "ISO_IR 192",
        "GB18030",
        "GBK",
        "nonsense",
    ];
    const ESCAPES: [&[u8]; 6] = [b"\x1b$B", b"\x1b$(D", b"\x1b(J", b"\x1b$)C", b"\x1b$)A", b"\x1b"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_bytes_are_some_text_of_bounded_length(
            name in prop::sample::select(&NAMES[..]),
            parts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..12),
                    prop::sample::select(&ESCAPES[..]).prop_map(<[u8]>::to_vec),
                ],
                0..8,
            ),
        ) {
            let bytes = parts.concat();
            let text = Charset::named(name).decode(&bytes);
            prop_assert!(text.len() <= 4 * bytes.len());
        }
    }

    /// PS3.5, section H.3.1: the second and third group of the name are Kanji and Hiragana by ISO 2022 IR 87.
    #[test]
    fn a_japanese_name_is_read_through_its_escapes() {
        let name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        let charset = Charset::named("\\ISO 2022 IR 87");
        assert_eq!(charset.decode(name), "Yamada^Tarou=山田^太郎=やまだ^たろう");
    }

    /// PS3.5, section I.2: Hangul and Hanja by ISO 2022 IR 149.
    #[test]
    fn a_korean_name_is_read_through_its_escapes() {
        let name =
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        assert_eq!(Charset::named("\\ISO 2022 IR 149").decode(name), "Hong^Gildong=洪^吉洞=홍^길동");
    }

    /// PS3.5, section J.3 and J.4: the same Chinese name in UTF-8 and in GB18030.
    #[test]
    fn a_chinese_name_is_read_in_utf_8_and_gb18030() {
        let utf_8 = "Wang^XiaoDong=王^小东".as_bytes();
        assert_eq!(Charset::named("ISO_IR 192").decode(utf_8), "Wang^XiaoDong=王^小东");
        let gb18030 = b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab";
        assert_eq!(Charset::named("GB18030").decode(gb18030), "Wang^XiaoDong=王^小东");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(Charset::named("ISO_IR 192").decode(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(Charset::default().decode(b"M\xfcller"), "Müller");
    }
}
