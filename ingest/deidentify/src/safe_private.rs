//! Private attributes that are known to identify nobody.
//!
//! Source: DICOM PS3.15, table E.3.10-1.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a safe private attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safe {
    Value,
    Sequence,
    /// Replaced as every other UID.
    Uid,
}

static TABLE: LazyLock<BTreeMap<(&'static str, u16, u8), Safe>> = LazyLock::new(|| {
    let rows = include_str!("../data/safe_private.txt").lines().filter(|line| !line.starts_with('#'));
    rows.flat_map(|row| {
        let mut columns = row.split('|');
        let (creator, group, elements) = (columns.next(), columns.next(), columns.next());
        let group = group.and_then(|group| u16::from_str_radix(group, 16).ok());
        let elements = elements.unwrap_or_default().split(' ');
        elements.filter_map(move |element| {
            let (digits, kind) = match element.strip_suffix(['*', 'u']) {
                Some(digits) if element.ends_with('*') => (digits, Safe::Sequence),
                Some(digits) => (digits, Safe::Uid),
                None => (element, Safe::Value),
            };
            Some(((creator?, group?, u8::from_str_radix(digits, 16).ok()?), kind))
        })
    })
    .collect()
});

/// What element `element` of a block of `creator` in `group` holds; `None` where it is not known as safe.
pub(crate) fn of(creator: &str, group: u16, element: u8) -> Option<Safe> {
    TABLE.get(&(creator, group, element)).copied()
}

/// Whether any element of `creator` in `group` is safe.
pub(crate) fn has(creator: &str, group: u16) -> bool {
    TABLE.range((creator, group, 0)..=(creator, group, u8::MAX)).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Edition 2026a has 479 rows.
    #[test]
    fn the_whole_table_is_read() {
        assert_eq!(TABLE.len(), 479);
        assert_eq!(of("SIEMENS MR HEADER", 0x0019, 0x0C), Some(Safe::Value));
        assert_eq!(of("SIEMENS Ultrasound SC2000", 0x0129, 0x02), Some(Safe::Uid));
        assert_eq!(of("Philips Imaging DD 001", 0x2001, 0x5F), Some(Safe::Sequence));
        assert_eq!(of("SIEMENS MR HEADER", 0x0019, 0x0F), None);
        assert!(has("ELSCINT1", 0x01F1) && !has("ELSCINT1", 0x01F3));
    }
}
