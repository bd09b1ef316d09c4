//! Text bytes into text, by Specific Character Set (0008,0005), code extensions of ISO 2022 among them.
//!
//! Source: DICOM PS3.5, section 6.1, and PS3.3, section C.12.1.1.2.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, WINDOWS_874,
};

const ESCAPE: u8 = 0x1B;
/// What ends the reach of an escape sequence in any text (PS3.5, section 6.1.2.5.3).
const LINE_ENDS: [u8; 4] = [b'\t', b'\n', 0x0C, b'\r'];

/// The characters of the upper half, where bytes are at least 0x80.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Upper {
    /// None by the letter of the standard; in the field they are ISO 8859-1.
    #[default]
    Latin1,
    /// ISO 8859-9, of which `encoding_rs` knows a neighbour only.
    Latin5,
    /// A table of `encoding_rs` whose lower half is ASCII: of one byte, or of two bytes a character.
    Table(&'static Encoding),
}

/// The characters of the lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lower {
    Ascii,
    /// Two bytes a character, JIS X 0208 (ISO-IR 87).
    Kanji,
    /// Two bytes a character, JIS X 0212 (ISO-IR 159).
    SupplementaryKanji,
}

/// The character set that holds in a data set or item.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Charset {
    /// One that code extensions may leave.
    Extensible(Upper),
    /// UTF-8, GB18030 or GBK: no escape sequences.
    Whole(&'static Encoding),
    /// As the first, with nothing declared.
    #[default]
    Default,
}

/// Which characters end the reach of an escape sequence, beside the ends of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person's name: component and group delimiters do.
    Name,
    /// Any other text.
    Text,
}

impl Kind {
    fn resets(self, byte: u8) -> bool {
        byte == b'\\' || LINE_ENDS.contains(&byte) || self == Self::Name && matches!(byte, b'^' | b'=')
    }
}

impl Charset {
    /// The set that the value of (0008,0005) names first; others follow by escape sequences inside a text.
    /// An unknown name means the default repertoire.
    pub(crate) fn named(value: &str) -> Self {
        let first = value.split('\\').next().unwrap_or_default().trim_matches([' ', '\0']);
        match first {
            "ISO_IR 192" => return Self::Whole(encoding_rs::UTF_8),
            "GB18030" => return Self::Whole(GB18030),
            "GBK" => return Self::Whole(GBK),
            _ => {}
        }
        // writers differ: ISO_IR 100, ISO 2022 IR 100, ISO-IR 100
        let number = first.rsplit([' ', '_', '-']).next().unwrap_or_default();
        let upper = match number {
            "13" => Upper::Table(SHIFT_JIS),
            "101" => Upper::Table(ISO_8859_2),
            "109" => Upper::Table(ISO_8859_3),
            "110" => Upper::Table(ISO_8859_4),
            "126" => Upper::Table(ISO_8859_7),
            "127" => Upper::Table(ISO_8859_6),
            "138" => Upper::Table(ISO_8859_8),
            "144" => Upper::Table(ISO_8859_5),
            "148" => Upper::Latin5,
            "149" => Upper::Table(EUC_KR),
            "166" => Upper::Table(WINDOWS_874),
            "203" => Upper::Table(ISO_8859_15),
            "58" => Upper::Table(GBK),
            // the upper half of EUC-JP is JIS X 0208: what some writers put there without an escape
            "87" | "159" => Upper::Table(EUC_JP),
            _ => Upper::Latin1,
        };
        Self::Extensible(upper)
    }

    /// The text of `bytes`, delimiters kept; what cannot be decoded is replaced, never an error.
    pub(crate) fn decode(self, bytes: &[u8], kind: Kind) -> String {
        let first = match self {
            _ if bytes.is_ascii() && !bytes.contains(&ESCAPE) => {
                return String::from_utf8_lossy(bytes).into_owned();
            }
            Self::Whole(encoding) => return encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Extensible(upper) => upper,
            Self::Default => Upper::default(),
        };
        let mut text = String::with_capacity(bytes.len());
        let (mut lower, mut upper) = (Lower::Ascii, first);
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            if *byte == ESCAPE
                && let Some((length, designation)) = designated(after)
            {
                match designation {
                    Designation::Lower(to) => lower = to,
                    Designation::Upper(to) => upper = to,
                }
                rest = &after[length..];
                continue;
            }
            if lower == Lower::Ascii {
                // up to an escape sequence or what ends its reach
                let ends = |byte: &u8| *byte == ESCAPE || upper != first && kind.resets(*byte);
                let length = after.iter().position(ends).map_or(rest.len(), |at| at + 1);
                if kind.resets(*byte) {
                    upper = first;
                }
                push(&rest[..length], upper, &mut text);
                rest = &rest[length..];
                continue;
            }
            match rest {
                [row @ 0x21..=0x7E, cell @ 0x21..=0x7E, ..] => {
                    // the same codes stand in the upper half of EUC-JP
                    let coded = [0x8F, row | 0x80, cell | 0x80];
                    let coded = if lower == Lower::Kanji { &coded[1..] } else { &coded };
                    text.push_str(&EUC_JP.decode_without_bom_handling(coded).0);
                    rest = &rest[2..];
                }
                _ => {
                    // a control character, or half a code: back to where texts begin
                    (lower, upper) = (Lower::Ascii, first);
                    push(&rest[..1], upper, &mut text);
                    rest = after;
                }
            }
        }
        text
    }
}

/// What an escape sequence switches to.
enum Designation {
    Lower(Lower),
    Upper(Upper),
}

/// The sequence that `rest`, the bytes behind an ESC, begins with: its length and meaning.
///
/// Source: DICOM PS3.3, tables C.12-3 and C.12-4.
fn designated(rest: &[u8]) -> Option<(usize, Designation)> {
    let table = |encoding| Designation::Upper(Upper::Table(encoding));
    let designation = match rest {
        [b'(', b'B' | b'J', ..] => Designation::Lower(Lower::Ascii),
        [b'$', b'B' | b'@', ..] => Designation::Lower(Lower::Kanji),
        [b'$', b'(', b'D', ..] => return Some((3, Designation::Lower(Lower::SupplementaryKanji))),
        [b'$', b')', b'C', ..] => return Some((3, table(EUC_KR))),
        [b'$', b')', b'A', ..] => return Some((3, table(GBK))),
        [b')', b'I', ..] => table(SHIFT_JIS),
        [b'-', b'A', ..] => Designation::Upper(Upper::Latin1),
        [b'-', b'B', ..] => table(ISO_8859_2),
        [b'-', b'C', ..] => table(ISO_8859_3),
        [b'-', b'D', ..] => table(ISO_8859_4),
        [b'-', b'F', ..] => table(ISO_8859_7),
        [b'-', b'G', ..] => table(ISO_8859_6),
        [b'-', b'H', ..] => table(ISO_8859_8),
        [b'-', b'L', ..] => table(ISO_8859_5),
        [b'-', b'M', ..] => Designation::Upper(Upper::Latin5),
        [b'-', b'T', ..] => table(WINDOWS_874),
        [b'-', b'b', ..] => table(ISO_8859_15),
        _ => return None,
    };
    Some((2, designation))
}

/// Appends bytes whose lower half is ASCII.
fn push(bytes: &[u8], upper: Upper, text: &mut String) {
    match upper {
        Upper::Table(encoding) => text.push_str(&encoding.decode_without_bom_handling(bytes).0),
        Upper::Latin1 => text.extend(bytes.iter().map(|byte| char::from(*byte))),
        Upper::Latin5 => text.extend(bytes.iter().map(|byte| match byte {
            0xD0 => 'Ğ',
            0xDD => 'İ',
            0xDE => 'Ş',
            0xF0 => 'ğ',
            0xFD => 'ı',
            0xFE => 'ş',
            byte => char::from(*byte),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 12] = [
        "ISO_IR 13",
        "ISO 2022 IR 87",
        "ISO_IR 100",
        "ISO_IR 127",
        "ISO_IR 148",
        "ISO 2022 IR 149",
        "ISO 2022 IR 58",
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
            let text = Charset::named(name).decode(&bytes, Kind::Name);
            prop_assert!(text.len() <= 4 * bytes.len());
        }
    }

    fn name(set: &str, bytes: &[u8]) -> String {
        Charset::named(set).decode(bytes, Kind::Name)
    }

    /// PS3.5, section H.3.1: the second and third group of the name are Kanji and Hiragana by ISO 2022 IR 87.
    #[test]
    fn a_japanese_name_is_read_through_its_escapes() {
        let bytes = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        assert_eq!(name("\\ISO 2022 IR 87", bytes), "Yamada^Tarou=山田^太郎=やまだ^たろう");
    }

    /// PS3.5, section H.3.2: the first group is half-width Katakana by ISO 2022 IR 13.
    #[test]
    fn half_width_katakana_stand_in_the_upper_half() {
        let bytes = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J";
        assert_eq!(name("ISO 2022 IR 13\\ISO 2022 IR 87", bytes), "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
    }

    /// JIS X 0212, row 48, cell 76 is U+9AD9 in none but that set (ISO-IR 159).
    #[test]
    fn supplementary_kanji_are_read() {
        assert_eq!(name("\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B^X"), "丂^X");
    }

    /// PS3.5, section I.2: Hangul and Hanja by ISO 2022 IR 149.
    #[test]
    fn a_korean_name_is_read_through_its_escapes() {
        let bytes =
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        assert_eq!(name("\\ISO 2022 IR 149", bytes), "Hong^Gildong=洪^吉洞=홍^길동");
    }

    /// PS3.5, section 6.1.2.5.3: delimiters of a name end the reach of an escape sequence; in a text they are letters.
    #[test]
    fn a_delimiter_ends_the_reach_of_an_escape() {
        let bytes = b"\x1b-F\xc4\xe9^\xc4\xe9";
        assert_eq!(name("ISO 2022 IR 100\\ISO 2022 IR 126", bytes), "Δι^Äé");
        let charset = Charset::named("ISO 2022 IR 100\\ISO 2022 IR 126");
        assert_eq!(charset.decode(bytes, Kind::Text), "Δι^Δι");
    }

    /// PS3.5, section J.3 and J.4, and K.2: the same Chinese name in UTF-8, in GB18030 and by ISO 2022 IR 58.
    #[test]
    fn a_chinese_name_is_read_in_three_encodings() {
        assert_eq!(name("ISO_IR 192", "Wang^XiaoDong=王^小东".as_bytes()), "Wang^XiaoDong=王^小东");
        assert_eq!(name("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab"), "Wang^XiaoDong=王^小东");
        let escaped = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=";
        assert_eq!(name("\\ISO 2022 IR 58", escaped), "Zhang^XiaoDong=张^小东=");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(name("ISO_IR 192", b"a\xffb"), "a\u{fffd}b");
        assert_eq!(Charset::default().decode(b"M\xfcller", Kind::Name), "Müller");
    }
}
