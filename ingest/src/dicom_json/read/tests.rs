use super::*;
use part10::{Limits, Part10, PixelDataAt};

fn attributes() -> Value {
    json!({
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": ["1.2.3.1.1"]},
        "00082112": {"vr": "SQ", "Value": [{"00291010": {"vr": "OB", "BulkDataURI": "b"}}]},
        "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.90"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Ada"}]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3.1"]},
        "00280100": {"vr": "US", "Value": [16]},
        "00280030": {"vr": "DS", "Value": [0.5, 0.25]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "a"},
    })
}

fn part(location: &str, content_type: &str, bytes: &'static [u8]) -> BulkPart {
    BulkPart { location: location.to_owned(), content_type: content_type.to_owned(), bytes: bytes.into() }
}

fn read(bulk: &[BulkPart]) -> Part10 {
    let bulk = BulkData::of(bulk.iter().cloned());
    Part10::read(part10_of(attributes(), &bulk).unwrap().into(), &Limits::default()).unwrap()
}

#[test]
fn metadata_and_bulk_data_become_a_file_that_reads_back() {
    let octets = "application/octet-stream";
    let file = read(&[part("a", octets, &[1, 2, 3, 4]), part("b", octets, &[9, 8, 7])]);
    assert_eq!(file.transfer_syntax().as_str(), EXPLICIT_VR_LITTLE_ENDIAN);
    assert_eq!(text(file.header(), tags::PATIENT_NAME).as_deref(), Some("Müller^Ada"));
    assert_eq!(text(file.header(), tags::PIXEL_SPACING).as_deref(), Some("0.5\\0.25"));
    assert!(file.header().get(dicom_core::Tag(0x0008, 0x3002)).is_none());
    let Some(PixelDataAt::Native { offset, length: 4 }) = file.pixel_data() else { panic!("native") };
    assert_eq!(*file.bytes(*offset..*offset + 4), [1, 2, 3, 4]);
    assert_eq!(super::super::bulk_data(file.header(), "00082112.0.00291010").unwrap()[..3], [9, 8, 7]);
    assert_eq!(sop_of(&attributes()).unwrap().1.as_str(), "1.2.3.1.1");
}

/// PS3.18, table F.2.3-1 and section F.2.5: values of these VRs may be bulk data, and one of several may be null.
#[test]
fn numbers_and_texts_may_be_bulk_data_and_one_of_several_empty() {
    let mut all = attributes();
    all["00081060"] = json!({"vr": "PN", "Value": [{"Alphabetic": "Ray^X"}, null]});
    all["00280030"] = json!({"vr": "DS", "Value": [0.5, null]});
    all["00281408"] = json!({"vr": "US", "BulkDataURI": "numbers"});
    all["0040A160"] = json!({"vr": "UT", "BulkDataURI": "text"});
    all["00082112"]["Value"][0]["00720074"] = json!({"vr": "FD", "BulkDataURI": "real"});
    let one_and_a_half: &[u8] = &[0, 0, 0, 0, 0, 0, 0xF8, 0x3F];
    let made = |real: &'static [u8]| {
        let parts =
            [("a", &[1, 2][..]), ("b", &[9]), ("numbers", &[1, 0, 2, 0]), ("text", "schön".as_bytes())];
        let parts = parts.into_iter().chain([("real", real)]);
        part10_of(all.clone(), &BulkData::of(parts.map(|(name, bytes)| part(name, "", bytes))))
    };
    let file = Part10::read(made(one_and_a_half).unwrap().into(), &Limits::default()).unwrap();
    let header = file.header();
    assert_eq!(text(header, tags::NAME_OF_PHYSICIANS_READING_STUDY).as_deref(), Some("Ray^X\\"));
    assert_eq!(text(header, tags::PIXEL_SPACING).as_deref(), Some("0.5\\"));
    assert_eq!(text(header, tags::TEXT_VALUE).as_deref(), Some("schön"));
    let numbers = header.get(dicom_core::Tag(0x0028, 0x1408)).unwrap();
    assert_eq!((numbers.vr(), numbers.to_multi_int::<u16>().unwrap()), (VR::US, vec![1, 2]));
    let item = &header.get(tags::SOURCE_IMAGE_SEQUENCE).unwrap().items().unwrap()[0];
    assert_eq!(item.get(tags::SELECTOR_FD_VALUE).unwrap().to_float64().unwrap(), 1.5);
    assert!(
        matches!(made(&one_and_a_half[1..]), Err(FromJsonError::NotADataSet)),
        "seven bytes are no number"
    );
}

#[test]
fn compressed_frames_come_part_by_part() {
    let jpeg = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50";
    let bulk = [part("a", jpeg, &[1, 2, 3]), part("a", jpeg, &[4, 5]), part("b", jpeg, &[0])];
    let file = read(&bulk);
    assert_eq!(file.transfer_syntax().as_str(), "1.2.840.10008.1.2.4.50");
    let Some(PixelDataAt::Encapsulated { fragments, .. }) = file.pixel_data() else { panic!("fragments") };
    let bytes: Vec<_> = fragments.iter().map(|it| file.bytes(it.clone()).to_vec()).collect();
    assert_eq!(bytes, [vec![1, 2, 3, 0], vec![4, 5]]);
}

/// PS3.18, tables 8.7.3-5 and 8.7.3-6: octets are little-endian, and a picture is no pixel data.
#[test]
fn pixels_come_as_octets_or_compressed_frames_and_in_no_other_form() {
    let made = |content_type: &str| {
        let parts = [part("a", content_type, &[1, 2]), part("b", "", &[9])];
        part10_of(attributes(), &BulkData::of(parts))
    };
    for octets in
        ["", "application/octet-stream", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2"]
    {
        let file = Part10::read(made(octets).unwrap().into(), &Limits::default()).unwrap();
        assert_eq!(file.transfer_syntax().as_str(), EXPLICIT_VR_LITTLE_ENDIAN, "{octets}");
        assert!(matches!(file.pixel_data(), Some(PixelDataAt::Native { length: 2, .. })), "{octets}");
    }
    let baseline = b"\xFF\xD8\xFF\xC0\x00\x0B\x08\x00\x02\x00\x03\x01\x01\x11\0\xFF\xDA\0\x02";
    let jpeg = transfer_syntax(Some(&part("a", "image/jpeg", baseline))).unwrap();
    assert_eq!(jpeg, "1.2.840.10008.1.2.4.50");
    for other in [
        "image/png",
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2",
        "application/octet-stream; transfer-syntax=\"1.2.840.10008.1.2.1.99\"",
    ] {
        assert!(matches!(made(other), Err(FromJsonError::OtherPixels)), "{other}");
    }
}

#[test]
fn what_is_no_data_set_or_lacks_its_bulk_is_refused() {
    assert!(matches!(part10_of(attributes(), &BulkData::default()), Err(FromJsonError::BulkDataMissing)));
    for bad in [json!([]), json!({"00100010": 5}), json!({"00100010": {"vr": "PN", "Value": [5]}})] {
        assert!(
            matches!(part10_of(bad.clone(), &BulkData::default()), Err(FromJsonError::NotADataSet)),
            "{bad}"
        );
    }
    let mut deep = json!({});
    for _ in 0..40 {
        deep = json!({"00082112": {"vr": "SQ", "Value": [deep]}});
    }
    assert!(matches!(part10_of(deep, &BulkData::default()), Err(FromJsonError::NotADataSet)));
}

/// The value of bulk data is a URI (PS3.18, section F.2.6), which any number of attributes may have.
#[test]
fn a_part_that_is_named_again_and_again_is_not_copied_each_time() {
    let parts = [part("a", "", &[1, 2, 3, 4]), part("b", "", &[9, 8])];
    let naming = |count: u16| {
        let mut attributes = attributes();
        for number in 0..count {
            attributes[format!("0029{:04X}", 0x1100 + number)] = json!({"vr": "OB", "BulkDataURI": "b"});
        }
        part10_of(attributes, &BulkData::of(parts.clone()))
    };
    // once more in a sequence: six bytes came, of which each name takes two
    assert!(naming(2).is_ok());
    assert!(matches!(naming(3), Err(FromJsonError::TooMuchBulkData)));
}
