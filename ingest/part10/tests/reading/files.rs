//! Files that clinics send.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use part10::{PixelDataAt, text};

use crate::support::*;

/// Every header as it was written, whatever the transfer syntax.
fn assert_header(bytes: &[u8]) {
    let file = read(bytes).unwrap();
    let header = file.header();
    assert_eq!(text(header, tags::PATIENT_NAME).as_deref(), Some("Müller^Jörg"));
    assert_eq!(header.element(tags::ROWS).unwrap().to_int::<u16>().unwrap(), 4);
    assert_eq!(header.element(tags::WINDOW_CENTER).unwrap().to_multi_float32().unwrap(), [40.0, 80.0]);
    let items = header.element(tags::REQUEST_ATTRIBUTES_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(text(&items[0], tags::SCHEDULED_PROCEDURE_STEP_ID).as_deref(), Some("STEP"));
    assert_eq!(header.get(tags::PIXEL_DATA), None);
}

#[test]
fn native_pixels_are_found_in_every_uncompressed_transfer_syntax() {
    for transfer_syntax in [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN] {
        let bytes = file(native(), transfer_syntax);
        assert_header(&bytes);
        let file = read(&bytes).unwrap();
        assert_eq!(file.transfer_syntax().as_str(), transfer_syntax);
        assert_eq!(file.scan().is_deflated(), transfer_syntax == DEFLATED);
        let Some(PixelDataAt::Native { offset, length }) = file.pixel_data() else { panic!("not native") };
        let pixels = file.bytes(*offset..offset + length);
        let by_one = |it: &[u8; 2]| match transfer_syntax {
            BIG_ENDIAN => u16::from_be_bytes(*it),
            _ => u16::from_le_bytes(*it),
        };
        let values: Vec<u16> = pixels.as_chunks().0.iter().map(by_one).collect();
        assert_eq!(values, (0..16).collect::<Vec<_>>(), "{transfer_syntax}");
    }
}

/// PS3.5, section A.4: each of them, and one of a vendor that nobody knows, is Explicit VR Little Endian.
#[test]
fn fragments_are_found_in_every_encapsulated_transfer_syntax() {
    let mut transfer_syntaxes: Vec<String> = [50, 51, 57, 70, 80, 81, 90, 91, 100, 102, 110, 112, 201, 203]
        .map(|last| format!("1.2.840.10008.1.2.4.{last}"))
        .to_vec();
    transfer_syntaxes.extend([RLE, "1.2.840.10008.1.2.8.1", "1.3.6.1.4.1.99999.1"].map(String::from));
    let data_set = data_set(encapsulated(2, &[], &[b"aa", b"bbbb"]), RLE);
    for transfer_syntax in transfer_syntaxes {
        let bytes = file_of(&transfer_syntax, &data_set);
        assert_header(&bytes);
        let file = read(&bytes).unwrap();
        assert_eq!(file.transfer_syntax().as_str(), transfer_syntax);
        assert_eq!(file.encapsulated_frame(0).unwrap(), ["aa"]);
        assert_eq!(file.encapsulated_frame(1).unwrap(), ["bbbb"]);
        assert_eq!(file.encapsulated_frame(2).unwrap_err().code(), "no-such-frame");
    }
}

/// PS3.5, section A.4: the offsets count from the first fragment's item; an item header has eight bytes.
#[test]
fn the_basic_offset_table_groups_fragments_into_frames() {
    let fragments: [&[u8]; 3] = [b"aa", b"bb", b"cc"];
    let file = |table: &[u32], frames| read(&file(encapsulated(frames, table, &fragments), RLE)).unwrap();
    let two = file(&[0, 20], 2);
    assert_eq!(two.encapsulated_frame(0).unwrap(), ["aa", "bb"]);
    assert_eq!(two.encapsulated_frame(1).unwrap(), ["cc"]);
    assert_eq!(file(&[], 1).encapsulated_frame(0).unwrap(), ["aa", "bb", "cc"]);
    for (table, frames) in [(&[][..], 2), (&[0, 19], 2), (&[10, 20], 2), (&[0, 0], 2), (&[0], 2), (&[], 4)] {
        assert_eq!(
            file(table, frames).encapsulated_frame(0).unwrap_err().code(),
            "frames-unclear",
            "{table:?}"
        );
    }
}

/// PS3.3, section C.7.6.3.1.8: the lengths leave the padding out.
#[test]
fn the_extended_offset_table_names_offset_and_length() {
    let mut image = encapsulated(2, &[], &[b"aa", b"bb", b"cc"]);
    let very_longs = |values: [u64; 2]| PrimitiveValue::U64(values.as_slice().into());
    image.put(DataElement::new(tags::EXTENDED_OFFSET_TABLE, VR::OV, very_longs([0, 20])));
    image.put(DataElement::new(tags::EXTENDED_OFFSET_TABLE_LENGTHS, VR::OV, very_longs([2, 1])));
    let file = read(&file(image, RLE)).unwrap();
    assert_eq!(file.encapsulated_frame(0).unwrap(), ["aa"]);
    assert_eq!(file.encapsulated_frame(1).unwrap(), ["c"]);
}

/// dcmtk reads such files, dicom-rs refuses them.
#[test]
fn the_group_length_may_be_missing_or_wrong() {
    let good = file(native(), EXPLICIT);
    let mut missing = good.clone();
    missing.drain(132..144);
    assert_header(&missing);
    for wrong in [0, 7, 100_000, u32::MAX] {
        let mut lying = good.clone();
        lying[140..144].copy_from_slice(&wrong.to_le_bytes());
        assert_header(&lying);
    }
}

#[test]
fn our_own_meta_is_read_by_dicom_object_and_by_us() {
    let bytes = file_of(EXPLICIT, &data_set(native(), EXPLICIT));
    assert_header(&bytes);
    let theirs = dicom_object::from_reader(bytes.as_slice()).unwrap();
    assert_eq!(theirs.meta().source_application_entity_title(), Some("SENDER"));
    assert_eq!(theirs.meta().implementation_class_uid(), part10::IMPLEMENTATION_CLASS_UID);
    let group_length = u32::from_le_bytes(bytes[140..144].try_into().unwrap());
    assert_eq!(theirs.meta().information_group_length, group_length);
}

/// pydicom and dcmtk look at the first element, and so do we.
#[test]
fn a_wrong_word_about_implicit_and_explicit_is_forgiven() {
    assert_header(&file_of(EXPLICIT, &data_set(native(), IMPLICIT)));
    assert_header(&file_of(IMPLICIT, &data_set(native(), EXPLICIT)));
}

/// Data Set Trailing Padding (FFFC,FFFC) is PS3.10, section 7.2; zeros come from media with blocks.
#[test]
fn padding_behind_the_data_set_is_passed_over() {
    let mut padded = file(native(), EXPLICIT);
    padded.extend_from_slice(&[0xFC, 0xFF, 0xFC, 0xFF, b'O', b'B', 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_header(&padded);
    for zeros in [1, 2, 7, 8, 11, 500] {
        let mut zeroed = padded.clone();
        zeroed.resize(padded.len() + zeros, 0);
        assert_header(&zeroed);
    }
}

/// PS3.5, section 6.2.2, note 4: UN of undefined length holds an implicit sequence.
#[test]
fn un_of_undefined_length_is_an_implicit_sequence() {
    let mut data_set = vec![0x08, 0, 0x15, 0x11, b'U', b'N', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    data_set.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    data_set.extend_from_slice(&[0x08, 0, 0x50, 0x11, 4, 0, 0, 0, b'1', b'.', b'2', 0]);
    data_set.extend_from_slice(&[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    let file = read(&file_of(EXPLICIT, &data_set)).unwrap();
    let items = file.header().element(tags::REFERENCED_SERIES_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(text(&items[0], tags::REFERENCED_SOP_CLASS_UID).as_deref(), Some("1.2"));
}

/// The same of known length: in implicit VR as the standard says, in explicit VR from some writers; nothing else.
#[test]
fn un_of_known_length_is_a_sequence_where_the_dictionary_and_the_bytes_say_so() {
    let element = |value: &[u8]| {
        let mut data_set = vec![0x08, 0, 0x15, 0x11, b'U', b'N', 0, 0];
        data_set.extend_from_slice(&(value.len() as u32).to_le_bytes());
        data_set.extend_from_slice(value);
        read(&file_of(EXPLICIT, &data_set))
            .unwrap()
            .header()
            .element(tags::REFERENCED_SERIES_SEQUENCE)
            .unwrap()
            .clone()
    };
    let implicit = b"\xFE\xFF\x00\xE0\x0C\0\0\0\x08\0\x50\x11\x04\0\0\x001.2\0";
    let explicit = b"\xFE\xFF\x00\xE0\x0C\0\0\0\x08\0\x50\x11UI\x04\x001.2\0";
    for value in [&implicit[..], explicit] {
        let sequence = element(value);
        assert_eq!(
            text(&sequence.items().unwrap()[0], tags::REFERENCED_SOP_CLASS_UID).as_deref(),
            Some("1.2")
        );
    }
    assert_eq!(element(b"\xFE\xFF\x00\xE0\x0E\0\0\0\x08\0").vr(), VR::UN);
}

/// Readers of the field take them: no preamble and group 2, or none of its elements that tells the transfer syntax.
#[test]
fn a_data_set_without_file_meta_information_is_read_as_it_shows_itself() {
    for by in [IMPLICIT, EXPLICIT, BIG_ENDIAN] {
        let bare = read(&data_set(native(), by)).unwrap();
        assert_eq!(bare.transfer_syntax().as_str(), by);
        assert_eq!(text(bare.header(), tags::PATIENT_NAME).as_deref(), Some("Müller^Jörg"));
        let mut nameless = vec![0; 128];
        nameless.extend_from_slice(b"DICM\x02\0\x03\0UI\x02\x001\0");
        nameless.extend_from_slice(&data_set(native(), by));
        assert_eq!(read(&nameless).unwrap().transfer_syntax().as_str(), by);
    }
    for other in [&b"\x08\0\x05\0nothing like an element"[..], b"\x08\0\xFF\xFFCS\x02\0AB", &[8; 400]] {
        assert_eq!(refusal(other), "not-dicom");
    }
}

/// Implicit VR leaves US or SS to Pixel Representation (0028,0103), PS3.5, section A.1.
#[test]
fn implicit_pixel_values_are_signed_where_pixels_are() {
    let mut image = header();
    image.put(DataElement::new(tags::PIXEL_REPRESENTATION, VR::US, PrimitiveValue::from(1_u16)));
    image.put(DataElement::new(tags::SMALLEST_IMAGE_PIXEL_VALUE, VR::SS, PrimitiveValue::from(-5_i16)));
    let file = read(&file(image, IMPLICIT)).unwrap();
    let smallest = file.header().element(tags::SMALLEST_IMAGE_PIXEL_VALUE).unwrap();
    assert_eq!((smallest.vr(), smallest.to_int::<i16>().unwrap()), (VR::SS, -5));
}

#[test]
fn a_range_beyond_the_file_gives_what_is_there() {
    let file = read(&file(native(), EXPLICIT)).unwrap();
    assert!(file.bytes(u64::MAX - 1..u64::MAX).is_empty());
    let (backwards_from, backwards_to) = (9, 3);
    assert!(file.bytes(backwards_from..backwards_to).is_empty());
}
