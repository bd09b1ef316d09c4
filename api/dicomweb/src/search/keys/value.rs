//! The values of a query, read as what their attribute holds.

use storage::records::search::Condition;

/// Most values of one list.
const LIST_MAX: usize = 1_000;
/// Most bytes of one text.
const TEXT_BYTES: usize = 1_024;

/// The values of a list, parted by commas or backslashes.
fn listed(value: &str, by: &[char]) -> Vec<String> {
    value.split(by).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The texts, when they are such as an object may hold.
pub(super) fn texts(value: &str, by: &[char]) -> Result<Vec<String>, &'static str> {
    let texts = listed(value, by);
    let is_text = |text: &String| text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
    if texts.is_empty() || texts.len() > LIST_MAX || !texts.iter().all(is_text) {
        return Err("a text of at most 1024 bytes without control characters, or a list of up to 1000 codes");
    }
    Ok(texts)
}

pub(super) fn uids(value: &str) -> Result<Vec<String>, &'static str> {
    let uids = listed(value, &[',', '\\']);
    let are_uids = uids.iter().all(|uid| uid.parse::<clinical::uid::SopInstanceUid>().is_ok());
    let is_list = (1..=LIST_MAX).contains(&uids.len());
    if is_list && are_uids { Ok(uids) } else { Err("a UID or a list of up to 1000 UIDs") }
}

pub(super) fn numbers(value: &str) -> Result<Condition, &'static str> {
    let numbers: Result<Vec<i64>, _> = listed(value, &[',', '\\']).iter().map(|text| text.parse()).collect();
    match numbers {
        Ok(numbers) if (1..=LIST_MAX).contains(&numbers.len()) => Ok(Condition::Numbers(numbers)),
        _ => Err("a whole number or a list of up to 1000"),
    }
}

/// `A-B`, `A-`, `-B`, or `A` for both ends.
pub(super) fn range(
    value: &str,
    wanted: &'static str,
    first: impl Fn(&str) -> Option<String>,
    last: impl Fn(&str) -> Option<String>,
) -> Result<(Option<String>, Option<String>), &'static str> {
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    if from.is_empty() && to.is_empty() {
        return Err(wanted);
    }
    let bound = |text: &str, read: &dyn Fn(&str) -> Option<String>| match text {
        "" => Ok(None),
        text => read(text).map(Some).ok_or(wanted),
    };
    Ok((bound(from, &first)?, bound(to, &last)?))
}

pub(super) fn day(text: &str) -> Option<String> {
    let is_day = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_day.then(|| text.to_owned())
}

/// `HH`, `HHMM`, `HHMMSS` or `HHMMSS.F…` as six digits; what is left out comes from `rest`.
pub(super) fn second(text: &str, rest: &str) -> Option<String> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let is_time = matches!(whole.len(), 2 | 4 | 6) && whole.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then(|| format!("{whole}{}", &rest[whole.len()..]))
}
