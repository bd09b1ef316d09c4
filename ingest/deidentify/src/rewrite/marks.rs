//! What a de-identified object says of itself.

use super::*;
use part10::IMPLEMENTATION_VERSION_NAME;

/// The elements that every de-identified object has, in order, each whole (PS3.15, section E.1.1, items 6 and 7).
pub(super) fn marks(profile: &Profile, pseudonym: &str, encoding: Encoding) -> Vec<(Tag, Vec<u8>)> {
    let whole = |tag: Tag, vr: VR, text: &str| {
        let mut out = Output::default();
        out.element(tag, vr, encoding, text.as_bytes().to_vec());
        (tag, out.0)
    };
    let time = match profile.dates {
        Dates::Removed => "REMOVED",
        Dates::Modified => "MODIFIED",
        Dates::Full => "UNMODIFIED",
    };
    let method = format!("PS3.15 E.1-1 2026c, {IMPLEMENTATION_VERSION_NAME}");
    vec![
        whole(tags::PATIENT_NAME, VR::PN, pseudonym),
        whole(tags::PATIENT_ID, VR::LO, pseudonym),
        whole(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"),
        whole(tags::DEIDENTIFICATION_METHOD, VR::LO, &method),
        (tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, codes(profile, encoding)),
        whole(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, VR::CS, time),
    ]
}

fn codes(profile: &Profile, encoding: Encoding) -> Vec<u8> {
    let mut out = Output::default();
    out.open_sequence(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, encoding);
    for (code, meaning) in profile.codes() {
        out.open_item(encoding);
        out.element(tags::CODE_VALUE, VR::SH, encoding, code.into());
        out.element(tags::CODING_SCHEME_DESIGNATOR, VR::SH, encoding, b"DCM".to_vec());
        out.element(tags::CODE_MEANING, VR::LO, encoding, meaning.into());
        out.close_item(encoding);
    }
    out.close_sequence(encoding);
    out.0
}

/// A content sequence that tells only that its content is gone: one text, under Comment (PS3.16, 121106).
pub(super) fn content_removed(out: &mut Output, encoding: Encoding) {
    out.open_item(encoding);
    out.element(tags::RELATIONSHIP_TYPE, VR::CS, encoding, b"CONTAINS".to_vec());
    out.element(tags::VALUE_TYPE, VR::CS, encoding, b"TEXT".to_vec());
    out.open_sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, encoding);
    out.open_item(encoding);
    out.element(tags::CODE_VALUE, VR::SH, encoding, b"121106".to_vec());
    out.element(tags::CODING_SCHEME_DESIGNATOR, VR::SH, encoding, b"DCM".to_vec());
    out.element(tags::CODE_MEANING, VR::LO, encoding, b"Comment".to_vec());
    out.close_item(encoding);
    out.close_sequence(encoding);
    out.element(tags::TEXT_VALUE, VR::UT, encoding, b"REMOVED".to_vec());
    out.close_item(encoding);
}
