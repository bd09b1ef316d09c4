//! Identifiers: the data sets of C-FIND, C-MOVE and C-GET, read within limits and written for a peer.

use bytes::{Bytes, BytesMut};
use clinical::uid::{SopInstanceUid, TransferSyntaxUid};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};
use part10::{Limits, Scan, file_with_meta};

use super::negotiation::Context;
use super::pdu::{Incoming, Part, PduError, PduStream};
use super::query::{Model, Query};
use super::status::StoreStatus;

/// The longest identifier that is read: a list of 3,000 UIDs has 200 KB.
const IDENTIFIER_BYTES: usize = 256 * 1024;
/// What an identifier may cost in memory.
const LIMITS: Limits = Limits {
    depth: 8,
    inflated_bytes: 0,
    inflate_ratio: 1,
    inflate_floor_bytes: 0,
    group2_bytes: 4_096,
    header_bytes: IDENTIFIER_BYTES as u64,
    elements: 16_384,
    fragments: 0,
};
/// Values of one UI: its length has 16 bits where VRs are written.
const MOST_UID_BYTES: usize = 65_534;

/// Reads the identifier behind a command set to its end, whatever is wrong with it.
///
/// # Errors
///
/// The connection failed or the peer broke the protocol. The inner error is the status of the one response.
pub(crate) async fn read(
    stream: &mut PduStream,
    context: &Context,
    model: Model,
) -> Result<Result<Query, StoreStatus>, PduError> {
    let identifier = read_data_set(stream, context, &LIMITS).await?;
    Ok(identifier.and_then(|identifier| Query::new(model, identifier)))
}

/// Reads the data set behind a command set to its end, whatever is wrong with it; [`Limits::header_bytes`] bounds it.
///
/// # Errors
///
/// The connection failed or the peer broke the protocol. The inner error is the status of the one response.
pub(crate) async fn read_data_set(
    stream: &mut PduStream,
    context: &Context,
    limits: &Limits,
) -> Result<Result<InMemDicomObject, StoreStatus>, PduError> {
    let most_bytes = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
    let mut whole = Some(BytesMut::new());
    loop {
        let fragment = match stream.next().await? {
            Incoming::Fragment(fragment) => fragment,
            Incoming::Release => return Err(PduError::Message("a release in the middle of a message")),
            Incoming::Closed => return Err(PduError::Truncated),
        };
        if fragment.part != Part::DataSet || fragment.context_id != context.id {
            return Err(PduError::Message("another message in the middle of a data set"));
        }
        while let Some(piece) = stream.piece().await? {
            whole = whole.filter(|whole| whole.len() + piece.len() <= most_bytes);
            if let Some(whole) = &mut whole {
                whole.extend_from_slice(&piece);
            }
        }
        if fragment.is_last {
            return Ok(match whole {
                Some(whole) => parse(&whole.freeze(), context, limits),
                None => Err(StoreStatus::new(StoreStatus::CANNOT_UNDERSTAND, "the data set is too long")),
            });
        }
    }
}

/// Reads a data set; every length is checked before it is believed.
fn parse(data_set: &Bytes, context: &Context, limits: &Limits) -> Result<InMemDicomObject, StoreStatus> {
    let unreadable = |comment: String| StoreStatus::new(StoreStatus::CANNOT_UNDERSTAND, comment);
    let nobody: SopInstanceUid =
        "0".parse().map_err(|_| unreadable("the identifier cannot be read".to_owned()))?;
    let mut file = file_with_meta(&context.sop_class, &nobody, &context.transfer_syntax, None);
    file.extend_from_slice(data_set);
    let scan = Scan::read(&mut std::io::Cursor::new(file), limits);
    Ok(scan.map_err(|error| unreadable(format!("{}: {error}", error.code())))?.header().clone())
}

/// Whether identifiers are exchanged in this transfer syntax; PS3.4, section C.4.1.1.3 asks for the first alone.
pub(crate) fn is_written_in(transfer_syntax: &str) -> bool {
    [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_LITTLE_ENDIAN].contains(&transfer_syntax)
}

/// The bytes of a data set of ours. Where a text needs it, they are of character set ISO_IR 192 and say so.
///
/// # Errors
///
/// A value cannot be written as its VR.
pub(crate) fn write(
    mut data_set: InMemDicomObject,
    transfer_syntax: &TransferSyntaxUid,
) -> Result<Vec<u8>, StoreStatus> {
    if needs_charset(&data_set) {
        let unicode = PrimitiveValue::from("ISO_IR 192");
        data_set.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, unicode));
    }
    let syntax = match transfer_syntax.as_str() {
        uids::EXPLICIT_VR_LITTLE_ENDIAN => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        _ => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
    };
    let mut bytes = Vec::with_capacity(1_024);
    let written = data_set.write_dataset_with_ts(&mut bytes, &syntax);
    written.map_err(|_| StoreStatus::new(StoreStatus::CANNOT_UNDERSTAND, "an answer cannot be written"))?;
    Ok(bytes)
}

fn needs_charset(data_set: &InMemDicomObject) -> bool {
    data_set.iter().any(|element| match element.value() {
        dicom_core::value::Value::Primitive(value) => !value.to_str().is_ascii(),
        dicom_core::value::Value::Sequence(sequence) => sequence.items().iter().any(needs_charset),
        dicom_core::value::Value::PixelSequence(_) => false,
    })
}

/// The data set that names what was not sent: Failed SOP Instance UID List (0008,0058), as far as it fits.
pub(crate) fn failed_list(failed: &[SopInstanceUid]) -> InMemDicomObject {
    let mut bytes = 0;
    let fits = |uid: &&SopInstanceUid| {
        bytes += uid.as_str().len() + 1;
        bytes <= MOST_UID_BYTES
    };
    let uids = failed.iter().take_while(fits).map(|uid| uid.as_str().to_owned()).collect();
    let list = DataElement::new(tags::FAILED_SOP_INSTANCE_UID_LIST, VR::UI, PrimitiveValue::Strs(uids));
    InMemDicomObject::from_element_iter([list])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::uid::SopClassUid;
    use proptest::prelude::*;

    fn context(transfer_syntax: &str) -> Context {
        let sop_class: SopClassUid = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND.parse().unwrap();
        Context {
            id: 1,
            sop_class,
            transfer_syntax: transfer_syntax.parse().unwrap(),
            takes_storage: false,
            combines_date_and_time: false,
        }
    }

    fn put(object: &mut InMemDicomObject, tag: dicom_core::Tag, vr: VR, text: &str) {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
    }

    /// PS3.3, section C.12.1.1.2: ISO_IR 192 is Unicode in UTF-8.
    #[test]
    fn texts_beyond_ascii_go_out_as_unicode_and_plain_ones_say_nothing() {
        for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_LITTLE_ENDIAN] {
            let mut object = InMemDicomObject::new_empty();
            put(&mut object, tags::PATIENT_NAME, VR::PN, "Muster^Ada");
            let plain = write(object.clone(), &syntax.parse().unwrap()).unwrap();
            let back = parse(&plain.into(), &context(syntax), &LIMITS).unwrap();
            assert!(back.get(tags::SPECIFIC_CHARACTER_SET).is_none());

            put(&mut object, tags::PATIENT_NAME, VR::PN, "Yamada^Tarou=山田^太郎=やまだ^たろう");
            let wide = write(object.clone(), &syntax.parse().unwrap()).unwrap();
            let back = parse(&wide.into(), &context(syntax), &LIMITS).unwrap();
            let text = |tag| part10::text(&back, tag).unwrap();
            assert_eq!(text(tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
            assert_eq!(text(tags::PATIENT_NAME), "Yamada^Tarou=山田^太郎=やまだ^たろう");
        }
    }

    #[test]
    fn the_list_of_what_failed_ends_where_its_value_does() {
        let uid: SopInstanceUid = format!("1.{}", "2".repeat(62)).parse().unwrap();
        let all = vec![uid; 3_000];
        let bytes = write(failed_list(&all), &uids::EXPLICIT_VR_LITTLE_ENDIAN.parse().unwrap()).unwrap();
        assert_eq!(bytes.len(), 8 + 65_534 / 65 * 65 - 1 + 1);
    }

    #[test]
    fn a_nest_without_end_is_no_identifier() {
        // a sequence of undefined length in an item of undefined length, again and again
        let mut nest = Vec::new();
        for _ in 0..10_000 {
            nest.extend_from_slice(&[0x08, 0, 0x10, 0x11, 0xFF, 0xFF, 0xFF, 0xFF]);
            nest.extend_from_slice(&[0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        }
        let refused = parse(&nest.into(), &context(uids::IMPLICIT_VR_LITTLE_ENDIAN), &LIMITS).unwrap_err();
        assert_eq!(refused.code(), StoreStatus::CANNOT_UNDERSTAND);
        let huge = Bytes::from_static(&[0x10, 0, 0x10, 0, 0xFE, 0xFF, 0xFF, 0xFF, b'A']);
        let refused = parse(&huge, &context(uids::IMPLICIT_VR_LITTLE_ENDIAN), &LIMITS).unwrap_err();
        assert_eq!(refused.code(), StoreStatus::CANNOT_UNDERSTAND);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_identifier_or_a_status(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_LITTLE_ENDIAN] {
                if let Err(status) = parse(&bytes.clone().into(), &context(syntax), &LIMITS) {
                    prop_assert_eq!(status.code(), StoreStatus::CANNOT_UNDERSTAND);
                }
            }
        }
    }
}
