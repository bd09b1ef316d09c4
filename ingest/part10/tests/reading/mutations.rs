//! Whatever a byte becomes, the reader answers, and soon.

use std::time::{Duration, Instant};

use dicom_object::InMemDicomObject;
use part10::PixelDataAt;
use proptest::prelude::*;

use crate::support::*;

/// Reads everything that a file offers.
fn read_all(bytes: &[u8]) {
    let begun = Instant::now();
    if let Ok(file) = read(bytes) {
        let frames = file.frame_count().min(8);
        for index in 0..frames {
            let _ = file.encapsulated_frame(index);
        }
        if let Some(PixelDataAt::Native { offset, length }) = file.pixel_data() {
            assert_eq!(file.bytes(*offset..offset + length).len() as u64, *length);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "too long");
}

fn seeds() -> impl Strategy<Value = Vec<u8>> {
    let objects: Vec<(InMemDicomObject, &str)> = vec![
        (native(), IMPLICIT),
        (native(), EXPLICIT),
        (native(), BIG_ENDIAN),
        (native(), DEFLATED),
        (encapsulated(2, &[0, 20], &[b"aa", b"bb", b"cc"]), RLE),
    ];
    let files: Vec<Vec<u8>> = objects.into_iter().map(|(object, by)| file(object, by)).collect();
    prop::sample::select(files)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_never_panic(
        mut bytes in seeds(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.2),
    ) {
        for (at, byte) in changes {
            // the preamble says nothing
            let at = 132 + at.index(bytes.len() - 132);
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(end.index(bytes.len()));
        }
        read_all(&bytes);
    }

    #[test]
    fn any_bytes_as_a_data_set_never_panic(
        data_set in prop::collection::vec(any::<u8>(), 0..600),
        by in prop::sample::select(vec![IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, RLE]),
    ) {
        read_all(&file_of(by, &data_set));
    }
}
