//! In which form frames are given: what the client takes of what is stored, or can be made (PS3.18, table 8.7.3-5).

use clinical::uid::TransferSyntaxUid;
use gate::Problem;
use ingest::pixels::can_encode;
use storage::records::instance::Instance;

use crate::accept::{Accept, AskedSyntax, MediaRange, not_acceptable};

pub(super) const OCTETS: &str = "application/octet-stream";
const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// How frames are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// Uncompressed, little-endian.
    Plain,
    /// The stored codestream, under this media type.
    Stored(&'static str),
    /// Compressed anew in this transfer syntax, under this media type.
    Encoded(&'static str, TransferSyntaxUid),
}

impl Given {
    pub(super) fn media(&self) -> &'static str {
        match self {
            Self::Plain => OCTETS,
            Self::Stored(media) | Self::Encoded(media, _) => media,
        }
    }
}

/// What the client takes of what there is, the dearest first.
pub(super) fn given<'a>(
    accept: &'a Accept,
    instance: &Instance,
    count: usize,
) -> Result<(Given, &'a MediaRange), Problem> {
    let syntax = instance.transfer_syntax_uid.as_str();
    for range in accept.ranges() {
        if count > 1 && !range.is_multipart() {
            continue;
        }
        if let Some(given) = given_by(range, syntax) {
            return Ok((given, range));
        }
    }
    let stored = stored_media(syntax).map(|media| format!(", {media} in transfer syntax {syntax}"));
    let stored = stored.unwrap_or_default();
    Err(not_acceptable(&format!("{OCTETS} in Explicit VR Little Endian{stored}")))
}

/// The stored codestreams, where a media range of several frames, or of one, takes them; `None` of uncompressed pixels.
pub(super) fn stored<'a>(
    accept: &'a Accept,
    instance: &Instance,
    count: usize,
) -> Option<(Given, &'a MediaRange)> {
    let syntax = instance.transfer_syntax_uid.as_str();
    let media = stored_media(syntax)?;
    let is_taken = |range: &&MediaRange| {
        let is_other = matches!(range.transfer_syntax(), AskedSyntax::This(asked) if asked != syntax);
        (count == 1 || range.is_multipart()) && !is_other && range.takes(media)
    };
    accept.ranges().iter().find(is_taken).map(|range| (Given::Stored(media), range))
}

/// What one media range asks of pixels that are stored in `syntax`.
fn given_by(range: &MediaRange, syntax: &str) -> Option<Given> {
    let media = stored_media(syntax);
    let asked = range.transfer_syntax();
    let is_stored = asked == AskedSyntax::Any || asked == AskedSyntax::This(syntax);
    let is_plain = matches!(asked, AskedSyntax::Unsaid | AskedSyntax::This(EXPLICIT_VR_LITTLE_ENDIAN));
    match media {
        Some(media) if is_stored && !range.names(OCTETS) && range.takes(media) => Some(Given::Stored(media)),
        // compressed frames are asked for, and there is one sort without compressing anew
        Some(media) if asked == AskedSyntax::Unsaid && !range.takes(OCTETS) && range.takes(media) => {
            Some(Given::Stored(media))
        }
        Some(_) if is_stored && range.takes(OCTETS) => Some(Given::Stored(OCTETS)),
        None if asked == AskedSyntax::Any && range.takes(OCTETS) => Some(Given::Plain),
        _ if range.takes(OCTETS) && is_plain => Some(Given::Plain),
        _ => encoded_by(range),
    }
}

/// What is compressed anew for a media range: in the transfer syntax that it names, else in its media type's default.
fn encoded_by(range: &MediaRange) -> Option<Given> {
    let (media, uid) = match range.transfer_syntax() {
        AskedSyntax::This(uid) => (stored_media(uid)?, uid),
        AskedSyntax::Unsaid | AskedSyntax::Any => DEFAULTS
            .into_iter()
            .find(|(media, _)| range.names(media) || range.takes(media) && !range.takes(OCTETS))?,
    };
    let media = match range.takes(media) {
        true => media,
        false if range.takes(OCTETS) => OCTETS,
        false => return None,
    };
    uid.parse().ok().filter(can_encode).map(|syntax| Given::Encoded(media, syntax))
}

/// The transfer syntax that a media type means where none is named (PS3.18, table 8.7.3-5), of those that are written.
const DEFAULTS: [(&str, &str); 4] = [
    ("image/jpeg", "1.2.840.10008.1.2.4.70"),
    ("image/dicom-rle", "1.2.840.10008.1.2.5"),
    ("image/jls", "1.2.840.10008.1.2.4.80"),
    ("image/jp2", "1.2.840.10008.1.2.4.90"),
];

/// The media type of a compressed frame (PS3.18, table 8.7.3-5); `None` where frames are not compressed.
fn stored_media(transfer_syntax: &str) -> Option<&'static str> {
    let tail = match transfer_syntax.strip_prefix("1.2.840.10008.1.2") {
        Some("" | ".1" | ".1.98" | ".1.99" | ".2") => return None,
        Some(".5") => return Some("image/dicom-rle"),
        Some(tail) => tail.strip_prefix(".4.").unwrap_or_default(),
        None => "",
    };
    Some(match tail {
        "50" | "51" | "57" | "70" => "image/jpeg",
        "80" | "81" => "image/jls",
        "90" | "91" => "image/jp2",
        "92" | "93" => "image/jpx",
        "201" | "202" | "203" => "image/jphc",
        "110" | "111" | "112" => "image/jxl",
        _ => OCTETS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.18, table 8.7.3-5.
    #[test]
    fn each_compression_has_its_media_type() {
        assert_eq!(stored_media("1.2.840.10008.1.2.4.50"), Some("image/jpeg"));
        assert_eq!(stored_media("1.2.840.10008.1.2.4.80"), Some("image/jls"));
        assert_eq!(stored_media("1.2.840.10008.1.2.5"), Some("image/dicom-rle"));
        assert_eq!(stored_media("1.2.840.10008.1.2.4.102"), Some(OCTETS));
        assert_eq!(stored_media("1.2.840.10008.1.2.1"), None);
    }

    #[test]
    fn what_is_stored_goes_before_what_has_to_be_made() {
        let jpeg = "1.2.840.10008.1.2.4.50";
        let given = |header: &str, stored: &str| {
            let accept = Accept::read([header]);
            given_by(&accept.ranges()[0], stored)
        };
        let encoded = |media, uid: &str| Some(Given::Encoded(media, uid.parse().unwrap()));
        assert_eq!(given("image/jpeg", jpeg), Some(Given::Stored("image/jpeg")));
        assert_eq!(given("image/*", jpeg), Some(Given::Stored("image/jpeg")));
        assert_eq!(given("*/*", jpeg), Some(Given::Plain));
        assert_eq!(given("*/*; transfer-syntax=*", jpeg), Some(Given::Stored("image/jpeg")));
        assert_eq!(given("image/jls", jpeg), encoded("image/jls", "1.2.840.10008.1.2.4.80"));
        let rle = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5";
        assert_eq!(given(rle, jpeg), encoded(OCTETS, "1.2.840.10008.1.2.5"));
        assert_eq!(
            given("image/jpeg; transfer-syntax=1.2.840.10008.1.2.5", jpeg),
            None,
            "another media type"
        );
        assert_eq!(given("image/jphc", jpeg), None);
    }
}
