//! New values: dummies that fit their VR, dates moved by days, UIDs replaced.

use chrono::{Days, NaiveDate};
use dicom_core::VR;

use crate::project::Project;

/// The root of the UIDs that the standard itself defines; they identify nobody (PS3.6, annex A).
const WELL_KNOWN: &[u8] = b"1.2.840.10008.";

/// `value` without the spaces and NULs around it.
fn trimmed(value: &[u8]) -> &[u8] {
    let is_padding = |byte: &u8| matches!(byte, 0 | b' ');
    let start = value.iter().position(|byte| !is_padding(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// True where nothing but padding is in `value`.
pub(crate) fn is_empty(value: &[u8]) -> bool {
    trimmed(value).is_empty()
}

/// A value that says nothing and fits `vr`. What was alike stays alike: labels become codes of the project.
pub(crate) fn dummy(vr: VR, former: &[u8], project: &Project) -> Vec<u8> {
    match vr {
        VR::AE | VR::CS | VR::LO | VR::SH | VR::UC => project.code(trimmed(former)).into_bytes(),
        VR::LT | VR::PN | VR::ST | VR::UT => b"REMOVED".to_vec(),
        VR::UI => uids(former, project),
        VR::AS => b"000Y".to_vec(),
        VR::DA => b"19000101".to_vec(),
        VR::DT => b"19000101000000".to_vec(),
        VR::TM => b"000000".to_vec(),
        VR::DS | VR::IS => b"0".to_vec(),
        // RFC 2606 keeps `.invalid` for this
        VR::UR => b"http://removed.invalid".to_vec(),
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OL | VR::OF => vec![0; 4],
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => vec![0; 8],
        _ => vec![0; 2],
    }
}

/// Every UID of `former` replaced but those of the standard.
pub(crate) fn uids(former: &[u8], project: &Project) -> Vec<u8> {
    let replaced = former.split(|byte| *byte == b'\\').map(trimmed).map(|uid| {
        if uid.is_empty() || uid.starts_with(WELL_KNOWN) {
            return uid.to_vec();
        }
        project.uid(&String::from_utf8_lossy(uid)).into_bytes()
    });
    replaced.collect::<Vec<_>>().join(&b'\\')
}

/// Every date of `former` moved `days` into the past; `None` where one cannot be read. Times of day stay, the zone of
/// a DT goes.
pub(crate) fn shifted(vr: VR, former: &[u8], days: u64) -> Option<Vec<u8>> {
    let moved = former.split(|byte| *byte == b'\\').map(|value| {
        let text = std::str::from_utf8(trimmed(value)).ok()?;
        match vr {
            _ if text.is_empty() => Some(String::new()),
            VR::TM => is_time(text).then(|| text.to_owned()),
            VR::DA => date(text, days),
            VR::DT => date_time(text, days),
            _ => None,
        }
    });
    moved.collect::<Option<Vec<_>>>().map(|values| values.join("\\").into_bytes())
}

/// `HHMMSS.FFFFFF`, a beginning of it, or with colons as ACR-NEMA wrote it; no date has so few digits.
fn is_time(text: &str) -> bool {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = clock.replace(':', "");
    let are_digits = |text: &str| text.len() <= 6 && text.bytes().all(|it| it.is_ascii_digit());
    are_digits(&digits) && are_digits(fraction) && digits.get(..2).is_none_or(|hour| hour < "24")
}

/// `YYYYMMDD`, or with dots as ACR-NEMA wrote it.
fn date(text: &str, days: u64) -> Option<String> {
    let digits = text.replace('.', "");
    if digits.len() != 8 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let day = NaiveDate::from_ymd_opt(
        digits[..4].parse().ok()?,
        digits[4..6].parse().ok()?,
        digits[6..].parse().ok()?,
    )?;
    Some(day.checked_sub_days(Days::new(days))?.format("%Y%m%d").to_string())
}

/// `YYYYMMDDHHMMSS.FFFFFF&ZZXX`, or a beginning of it; what was not told of the date is not told afterwards.
fn date_time(text: &str, days: u64) -> Option<String> {
    let end = text.find(['+', '-']).unwrap_or(text.len());
    let text = &text[..end];
    if !text.bytes().all(|it| it.is_ascii_digit() || it == b'.') {
        return None;
    }
    match text.len() {
        4 => date(&format!("{text}0101"), days).map(|moved| moved[..4].to_owned()),
        6 => date(&format!("{text}01"), days).map(|moved| moved[..6].to_owned()),
        8.. => Some(format!("{}{}", date(&text[..8], days)?, &text[8..])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(vr: VR, text: &str) -> Option<String> {
        shifted(vr, text.as_bytes(), 60).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// 2024 is a leap year: 60 days before 1 March is 1 January.
    #[test]
    fn dates_move_and_times_of_day_stay() {
        assert_eq!(moved(VR::DA, "20240301").as_deref(), Some("20240101"));
        assert_eq!(moved(VR::DA, "2024.03.01 ").as_deref(), Some("20240101"));
        assert_eq!(moved(VR::DA, "20240301\\\\20240302").as_deref(), Some("20240101\\\\20240102"));
        assert_eq!(moved(VR::TM, "101112.5").as_deref(), Some("101112.5"));
        assert_eq!(moved(VR::DT, "20240301101112.5+0300").as_deref(), Some("20240101101112.5"));
        assert_eq!(moved(VR::DT, "202403").as_deref(), Some("202401"));
        assert_eq!(moved(VR::DT, "2024").as_deref(), Some("2023"));
        for (vr, bad) in [
            (VR::DA, "20241301"),
            (VR::DA, "yesterday"),
            (VR::DA, "Müller12"),
            (VR::TM, "Miller"),
            (VR::TM, "20240301"),
            (VR::TM, "2024.03.01"),
            (VR::DT, "2024030"),
            (VR::DT, "٢٠٢٤٠٣٠١"),
            (VR::LO, "20240301"),
        ] {
            assert_eq!(moved(vr, bad), None, "{bad}");
        }
    }

    #[test]
    fn uids_are_replaced_one_by_one_and_those_of_the_standard_stay() {
        let project = Project::from_key(&[7; 32]).unwrap();
        let replaced = uids(b"1.2.3\\1.2.840.10008.1.4.1.1\0\\1.2.3\0", &project);
        let expected = format!("{0}\\1.2.840.10008.1.4.1.1\\{0}", project.uid("1.2.3"));
        assert_eq!(String::from_utf8(replaced).unwrap(), expected);
    }
}
