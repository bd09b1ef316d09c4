//! Where the data set of a stored file begins.

/// Bytes of the preamble and `DICM`.
const PREAMBLE: usize = 132;

/// Where the data set starts: behind the elements of group 2, whatever (0002,0000) says of their length (PS3.10,
/// section 7.1). `None` where `head` is no beginning of a file, or ends before the data set does begin.
pub(super) fn data_set_start(head: &[u8]) -> Option<usize> {
    head.get(PREAMBLE - 4..PREAMBLE).filter(|bytes| bytes == b"DICM")?;
    let mut at = PREAMBLE;
    loop {
        let rest = head.get(at..)?;
        // an object without any data set element ends with its group 2
        if rest.is_empty() {
            return Some(at);
        }
        if rest.get(..2)? != [2, 0] {
            return Some(at);
        }
        let length = match rest.get(4..6)? {
            // PS3.5, table 7.1-1: the VRs of group 2 whose length has four bytes
            b"OB" | b"OW" | b"UN" | b"UT" | b"UC" | b"UR" | b"SQ" | b"OF" => {
                let length = rest.get(8..12)?.first_chunk::<4>()?;
                12 + u32::from_le_bytes(*length) as usize
            }
            _ => 8 + usize::from(u16::from_le_bytes(*rest.get(6..8)?.first_chunk()?)),
        };
        at = at.checked_add(length)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let uid = |text: &str| text.parse().unwrap();
        part10::file_with_meta(
            &"1.2.840.10008.5.1.4.1.1.2".parse().unwrap(),
            &uid("1.2.3"),
            &"1.2.840.10008.1.2.1".parse().unwrap(),
            Some("CT1"),
        )
    }

    #[test]
    fn a_data_set_begins_behind_group_2_with_or_without_its_length() {
        let head = file();
        let data_set = [8, 0, 0x16, 0, b'U', b'I', 0, 0];
        let whole = [&head[..], &data_set].concat();
        assert_eq!(data_set_start(&whole), Some(head.len()));
        let without_length = [&head[..PREAMBLE], &head[PREAMBLE + 12..], &data_set].concat();
        assert_eq!(data_set_start(&without_length), Some(head.len() - 12));
        assert_eq!(data_set_start(&head), Some(head.len()), "an object without elements");
    }

    #[test]
    fn what_is_cut_or_no_file_has_no_data_set() {
        let head = file();
        for length in [0, 100, PREAMBLE + 3, head.len() - 1] {
            assert_eq!(data_set_start(&head[..length]), None, "{length}");
        }
        assert_eq!(data_set_start(&[0; 200]), None);
    }
}
