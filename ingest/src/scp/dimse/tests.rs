use super::*;
use dicom_core::{PrimitiveValue, Tag};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use proptest::prelude::*;

/// The foreign reader is dicom-object's.
#[test]
fn a_response_reads_back_with_another_library() {
    let bytes = request(C_STORE_RQ, 7, true, Some(("1.2.840.10008.5.1.4.1.1.2", "1.2.3")));
    let command = Command::parse(&bytes.into()).unwrap();
    let answer = response(&command, 0xA700, "disk full");

    let implicit = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let object = InMemDicomObject::read_dataset_with_ts(&answer[..], &implicit).unwrap();
    let number = |element| object.element(Tag(0, element)).unwrap().to_int::<u32>().unwrap();
    let text = |element| object.element(Tag(0, element)).unwrap().to_str().unwrap().into_owned();
    assert_eq!(number(0x0000) as usize, answer.len() - 12, "the group length counts what follows it");
    assert_eq!((number(0x0100), number(0x0120), number(0x0800), number(0x0900)), (0x8001, 7, 0x0101, 0xA700));
    assert_eq!(text(0x0002), "1.2.840.10008.5.1.4.1.1.2");
    assert_eq!((text(0x0902).as_str(), text(0x1000).as_str()), ("disk full", "1.2.3"));
}

#[test]
fn a_command_set_of_another_library_is_understood() {
    let mut object = InMemDicomObject::new_empty();
    let mut put = |element, value: PrimitiveValue, vr| {
        object.put(dicom_core::DataElement::new(Tag(0, element), vr, value));
    };
    put(0x0002, "1.2.840.10008.1.1".into(), dicom_core::VR::UI);
    put(0x0100, PrimitiveValue::from(0x0030_u16), dicom_core::VR::US);
    put(0x0110, PrimitiveValue::from(9_u16), dicom_core::VR::US);
    put(0x0800, PrimitiveValue::from(0x0101_u16), dicom_core::VR::US);
    let mut bytes = Vec::new();
    object.write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();

    let command = Command::parse(&bytes.into()).unwrap();
    assert_eq!((command.field, command.message_id, command.has_data_set), (C_ECHO_RQ, 9, false));
    assert_eq!(command.sop_class.as_deref(), Some(&b"1.2.840.10008.1.1"[..]));
}

/// PS3.7, table 9.3-1 with its elements (0000,1030) and (0000,1031), and table 9.3-11 of the C-MOVE response.
#[test]
fn requests_of_ours_and_counts_read_back() {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.2".parse().unwrap(), "1.2.3".parse().unwrap());
    let title = AeTitle::MEDILINK;
    let bytes: Bytes = store_request(3, &class, &instance, Some((&title, 9))).into();
    let command = Command::parse(&bytes).unwrap();
    assert_eq!((command.field, command.message_id, command.has_data_set), (C_STORE_RQ, 3, true));
    assert!(bytes.windows(16).any(|it| it == b"\0\0\x30\x10\x08\0\0\0MEDILINK"));
    assert!(bytes.ends_with(&[0, 0, 0x31, 0x10, 2, 0, 0, 0, 9, 0]));
    assert_eq!(Response::parse(&bytes), Ok(None));

    let counts = SubOperationCounts { remaining: Some(4), completed: 3, failed: 2, warning: 1 };
    let answer = response_with(&command, 0xFF00, "", true, Some(counts));
    assert!(answer.windows(10).any(|it| it == [0, 0, 0x20, 0x10, 2, 0, 0, 0, 4, 0]));
    assert!(answer.ends_with(&[0, 0, 0x23, 0x10, 2, 0, 0, 0, 1, 0]));
    let expected = Response { field: C_STORE_RQ, message_id: 3, status: 0xFF00, has_data_set: true };
    assert_eq!(Response::parse(&answer.into()), Ok(Some(expected)));
}

#[test]
fn an_element_that_runs_past_the_end_is_an_error() {
    let mut bytes = request(C_ECHO_RQ, 1, false, None);
    bytes.truncate(bytes.len() - 1);
    assert_eq!(Command::parse(&bytes.into()), Err(CommandError::Truncated));
    let endless = Bytes::from_static(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(Command::parse(&endless), Err(CommandError::Truncated));
}

proptest! {
    #[test]
    fn any_bytes_are_a_command_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(command) = Command::parse(&bytes.into()) {
            let answer = response(&command, 0, "");
            prop_assert!(Command::parse(&answer.into()).is_err(), "a response has no Message ID");
        }
    }
}
