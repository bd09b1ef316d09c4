//! The names of files, as people give them.

/// Longest name that is kept, in characters.
const NAME_CHARACTERS: usize = 255;

/// The last part of a name, whatever folders some browser put before it,
/// without control characters; `None` when nothing is left.
pub(crate) fn sanitized(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|letter| !letter.is_control()).take(NAME_CHARACTERS).collect();
    let clean = clean.trim();
    (!clean.is_empty() && clean != "." && clean != "..").then(|| clean.to_owned())
}

/// `Content-Disposition` for a download under `name` (RFC 6266, with RFC 8187 for what is not ASCII).
pub(crate) fn disposition(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let plain: String = name
        .chars()
        .map(|letter| if u8::try_from(letter).is_ok_and(is_plain) { letter } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    let mut encoded = String::new();
    for byte in name.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_control_characters_are_no_part_of_a_name() {
        assert_eq!(sanitized("C:\\scans\\chest.dcm").as_deref(), Some("chest.dcm"));
        assert_eq!(sanitized("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(sanitized("a\r\nb\0.dcm").as_deref(), Some("ab.dcm"));
        for name in ["", "..", "/", " ", "scans/"] {
            assert_eq!(sanitized(name), None, "{name:?}");
        }
        assert_eq!(sanitized(&"ü".repeat(1_000)).map(|name| name.chars().count()), Some(255));
    }

    /// The encoding of `€` stands in RFC 8187, section 3.2.3.
    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("chest-1.dcm"), "attachment; filename=\"chest-1.dcm\"");
        assert_eq!(
            disposition("€\";x.dcm"),
            "attachment; filename=\"___x.dcm\"; filename*=UTF-8''%E2%82%AC%22%3Bx.dcm"
        );
    }
}
