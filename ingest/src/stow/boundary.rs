//! The boundary of a `multipart/related` body, from its Content-Type.

use super::StowError;

/// A boundary as RFC 2046, section 5.1.1 allows it: 1 to 70 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// The boundary of a Content-Type value, and its `type` parameter in lower case, where it has one.
    ///
    /// # Errors
    ///
    /// [`StowError::NotMultipart`] for another media type, [`StowError::BadBoundary`] without a valid boundary.
    pub fn from_content_type(value: &str) -> Result<(Self, Option<String>), StowError> {
        let (media_type, mut rest) = value.split_once(';').unwrap_or((value, ""));
        if !media_type.trim().eq_ignore_ascii_case("multipart/related") {
            return Err(StowError::NotMultipart);
        }
        let (mut boundary, mut type_parameter) = (None, None);
        while !rest.trim().is_empty() {
            let (name, value, behind) = parameter(rest).ok_or(StowError::BadBoundary)?;
            rest = behind;
            let slot = match name.to_ascii_lowercase().as_str() {
                "boundary" => &mut boundary,
                "type" => &mut type_parameter,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(StowError::BadBoundary);
            }
        }
        let boundary = Self(boundary.filter(|text| is_valid(text)).ok_or(StowError::BadBoundary)?);
        Ok((boundary, type_parameter.map(|text| text.to_ascii_lowercase())))
    }

    /// The boundary without the dashes before it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Name and value of the first parameter of `text`, and what stands behind its semicolon.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, value) = text.split_once('=')?;
    let value = value.trim_start();
    let Some(quoted) = value.strip_prefix('"') else {
        let (value, behind) = value.split_once(';').unwrap_or((value, ""));
        return Some((name.trim(), value.trim_end().to_owned(), behind));
    };
    let mut unquoted = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => {
                let behind = quoted[at + 1..].trim_start();
                let behind = if behind.is_empty() { behind } else { behind.strip_prefix(';')? };
                return Some((name.trim(), unquoted, behind));
            }
            '\\' => unquoted.push(chars.next()?.1),
            char => unquoted.push(char),
        }
    }
    None
}

/// `bcharsnospace` and inner spaces of RFC 2046, section 5.1.1.
fn is_valid(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(is_legal) && !text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundary_and_type_are_read_quoted_or_not() {
        let both = |value| Boundary::from_content_type(value).map(|(boundary, by)| (boundary.0, by)).ok();
        let (plain, quoted) = (
            "multipart/related; type=\"application/dicom\"; boundary=a:b/c=1",
            "Multipart/Related;BOUNDARY=\"a b;c\" ; charset=x; Type=Application/DICOM",
        );
        assert_eq!(both(plain), Some(("a:b/c=1".into(), Some("application/dicom".into()))));
        assert_eq!(both(quoted), None, "a semicolon is no boundary character");
        assert_eq!(both("multipart/related; boundary=\"a b\";"), Some(("a b".into(), None)));
    }

    #[test]
    fn a_boundary_that_is_none_is_refused() {
        let long = format!("multipart/related; boundary={}", "x".repeat(71));
        for value in [
            "multipart/related",
            "multipart/related; boundary=",
            "multipart/related; boundary=\"a",
            "multipart/related; boundary=\"a \"",
            "multipart/related; boundary=a\u{e4}",
            "multipart/related; boundary=a; boundary=b",
            "multipart/related; boundary=\"a\"b",
            "multipart/related; boundary=a<b",
            "multipart/related; boundary",
            long.as_str(),
        ] {
            let refused = Boundary::from_content_type(value);
            assert!(matches!(refused, Err(StowError::BadBoundary)), "{value}");
        }
        let other = Boundary::from_content_type("multipart/form-data; boundary=a");
        assert!(matches!(other, Err(StowError::NotMultipart)));
    }
}
