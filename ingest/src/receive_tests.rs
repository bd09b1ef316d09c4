//! The hall over both databases and a real folder.

use std::sync::Arc;

use chrono::TimeDelta;
use clinical::clock::SystemClock;
use clinical::id::ClinicId;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use storage::archive::{Archive, DataKeys, NewBlobs};
use storage::db::Db;
use storage::outbox;
use storage::records::instance::{Instance, Version};
use storage::records::rejection;
use storage::testing::{count, keyring, on_both};

use super::*;

const CLINIC: ClinicId = ClinicId::DEFAULT;

struct Hallway {
    folder: tempfile::TempDir,
    db: Db,
    archive: Archive,
    receiver: Receiver,
}

impl Hallway {
    fn new(db: Db, on_conflict: OnConflict) -> Self {
        Self::with_blobs(db, on_conflict, NewBlobs::Plain)
    }

    fn with_blobs(db: Db, on_conflict: OnConflict, new_blobs: NewBlobs) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = DataKeys::new(db.clone(), keyring("a"), Arc::new(SystemClock));
        let archive = Archive::folder(&folder.path().join("archive")).unwrap().with_keys(keys, new_blobs);
        let settings = ReceiveSettings {
            limits: IngestLimits {
                instance_bytes: 10 << 20,
                memory_bytes: 1 << 20,
                ..IngestLimits::default()
            },
            on_conflict,
            quiet: TimeDelta::seconds(5),
            spool_folder: folder.path().to_owned(),
        };
        let receiver = Receiver::new(db.clone(), archive.clone(), Arc::new(SystemClock), settings);
        Self { folder, db, archive, receiver }
    }

    async fn take(&self, bytes: &[u8]) -> Result<Received, ReceiveError> {
        let mut spool = self.receiver.spool();
        for piece in bytes.chunks(10_000) {
            spool.write(piece.to_vec().into()).await?;
        }
        self.receiver.receive(Receipt::from_sender(CLINIC), spool).await
    }

    /// How many files lie in the archive, at whatever depth.
    fn blobs(&self) -> usize {
        fn files(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
        }
        files(&self.folder.path().join("archive"))
    }
}

/// A grey image of `size` bytes in study 1.2.3, series 1.2.3.1.
fn image(sop_uid: &str, size: usize, shade: u8, writer: &str) -> Vec<u8> {
    let text = |tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
    let object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, sop_uid),
        text(tags::STUDY_DATE, VR::DA, "20260102"),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::PATIENT_NAME, VR::PN, "Test^Ada"),
        text(tags::PATIENT_ID, VR::LO, "P1"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.1"),
        DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(1_u16)),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(vec![shade; size])),
    ]);
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_version_name(writer);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn what_is_received_lies_in_the_archive_bit_for_bit_with_its_row_event_and_job() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        for (sop, size) in [("1.2.3.1.1", 100), ("1.2.3.1.2", 3 << 20)] {
            let bytes = image(sop, size, 7, "A");
            let received = hall.take(&bytes).await.unwrap();
            assert_eq!(received.disposition, Disposition::Stored);
            let mut rows = hall.db.read().await.unwrap();
            let stored = Instance::find(&mut rows, CLINIC, received.instance_id).await.unwrap();
            assert_eq!(hall.archive.get(&stored.blob_key).await.unwrap(), bytes);
            let (offset, length) = stored.pixels_at.unwrap();
            assert_eq!((bytes[offset as usize - 1], bytes[offset as usize], length), (0, 7, size as i64));
        }
        let mut rows = hall.db.read().await.unwrap();
        assert_eq!(outbox::told(&mut rows, CLINIC, "instance_stored", 10).await.unwrap().len(), 2);
        assert_eq!(count(&hall.db, "jobs").await, 1, "one analysis for the study");
        assert_eq!(hall.blobs(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_same_instance_again_succeeds_without_a_second_copy() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        // short ones are written before they are looked up, long ones after
        for (index, size) in [100, 2 << 20].into_iter().enumerate() {
            let sop = format!("1.2.3.1.{index}");
            let first = hall.take(&image(&sop, size, 7, "A")).await.unwrap();
            let again = hall.take(&image(&sop, size, 7, "A")).await.unwrap();
            assert_eq!(again, Received { disposition: Disposition::AlreadyStored, ..first.clone() });
            let by_another_writer = hall.take(&image(&sop, size, 7, "ANOTHER_NAME")).await.unwrap();
            assert_eq!(by_another_writer.disposition, Disposition::AlreadyStored, "the data set is the same");
            assert_eq!((hall.blobs(), count(&hall.db, "instances").await), (index + 1, index as i64 + 1));
        }
        // (0002,0000) is not believed and may be missing
        let (mut stored, same) =
            (image("1.2.3.1.9", 100, 7, "A"), image("1.2.3.1.9", 100, 7, "ANOTHER_NAME"));
        stored.drain(132..144);
        hall.take(&stored).await.unwrap();
        assert_eq!(hall.take(&same).await.unwrap().disposition, Disposition::AlreadyStored);
    })
    .await;
}

#[tokio::test]
async fn many_senders_of_one_instance_leave_one_copy() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        let bytes = image("1.2.3.1.1", 50_000, 7, "A");
        let takes = (0..8).map(|_| hall.take(&bytes));
        let received = futures::future::join_all(takes).await;
        let stored =
            |it: &&Result<Received, _>| matches!(it, Ok(it) if it.disposition == Disposition::Stored);
        assert_eq!(received.iter().filter(stored).count(), 1);
        assert!(received.iter().all(Result::is_ok));
        assert_eq!((hall.blobs(), count(&hall.db, "instances").await), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn other_bytes_are_kept_aside_and_nothing_is_overwritten() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        let (old, new) = (image("1.2.3.1.1", 100, 7, "A"), image("1.2.3.1.1", 100, 8, "A"));
        let first = hall.take(&old).await.unwrap();
        for _ in 0..2 {
            assert_eq!(hall.take(&new).await.unwrap().disposition, Disposition::KeptAside);
        }
        let mut rows = hall.db.read().await.unwrap();
        let current = Instance::find(&mut rows, CLINIC, first.instance_id).await.unwrap();
        assert_eq!(hall.archive.get(&current.blob_key).await.unwrap(), old);
        let versions = Version::of(&mut rows, CLINIC, first.instance_id).await.unwrap();
        assert_eq!(versions.len(), 1);
        assert_eq!(hall.archive.get(&versions[0].blob_key).await.unwrap(), new);
        assert_eq!(hall.blobs(), 2);
    })
    .await;
}

/// A re-identified copy under a known UID: its own study must not appear with nothing in it.
#[tokio::test]
async fn bytes_kept_aside_leave_no_empty_study_behind() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        hall.take(&image("1.2.3.1.1", 100, 7, "A")).await.unwrap();
        let mut elsewhere = image("1.2.3.1.1", 100, 8, "A");
        // the data set's Study Instance UID, behind its own SOP Instance UID of the same beginning
        let uid = [0x20, 0, 0x0D, 0, b'U', b'I', 6, 0];
        let place = elsewhere.windows(8).position(|it| it == uid).unwrap();
        elsewhere[place + 8..place + 13].copy_from_slice(b"9.9.9");
        assert_eq!(hall.take(&elsewhere).await.unwrap().disposition, Disposition::KeptAside);
        assert_eq!(count(&hall.db, "studies").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_replacing_house_makes_the_newcomer_current_and_keeps_the_former() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Replace);
        let (old, new) = (image("1.2.3.1.1", 100, 7, "A"), image("1.2.3.1.1", 100, 8, "A"));
        let first = hall.take(&old).await.unwrap();
        assert_eq!(hall.take(&new).await.unwrap().disposition, Disposition::Replaced);
        let mut rows = hall.db.read().await.unwrap();
        let current = Instance::find(&mut rows, CLINIC, first.instance_id).await.unwrap();
        assert_eq!(hall.archive.get(&current.blob_key).await.unwrap(), new);
        let versions = Version::of(&mut rows, CLINIC, first.instance_id).await.unwrap();
        assert_eq!(hall.archive.get(&versions[0].blob_key).await.unwrap(), old);
    })
    .await;
}

#[tokio::test]
async fn a_rejecting_house_refuses_other_bytes_and_keeps_none_of_them() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Reject);
        hall.take(&image("1.2.3.1.1", 100, 7, "A")).await.unwrap();
        let refused = hall.take(&image("1.2.3.1.1", 100, 8, "A")).await.unwrap_err();
        assert_eq!((refused.code(), refused.fault()), ("instance-conflict", Fault::Conflict));
        assert_eq!((hall.blobs(), count(&hall.db, "instance_versions").await), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_instance_leaves_nothing_behind() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        let whole = image("1.2.3.1.1", 100, 7, "A");
        let mut no_uid = image("1.2.3.1.1", 100, 7, "A");
        let place = no_uid.windows(7).rposition(|it| it == b"1.2.3.1").unwrap();
        no_uid[place..place + 7].copy_from_slice(b"../../x");
        let too_large = image("1.2.3.1.1", 11 << 20, 7, "A");
        let cases: [(&[u8], &str); 6] = [
            (b"", "empty"),
            (b"<html><body>Sign in</body></html>", "not-dicom"),
            (&whole[..whole.len() - 1], "truncated"),
            (&whole[133..], "not-dicom"),
            (&no_uid, "invalid-uid"),
            (&too_large, "too-large"),
        ];
        for (bytes, code) in cases {
            assert_eq!(hall.take(bytes).await.unwrap_err().code(), code);
        }
        assert_eq!((hall.blobs(), count(&hall.db, "patients").await), (0, 0));
    })
    .await;
}

/// As dcmtk and pydicom take it: the File Meta Information says what it is all the same.
#[tokio::test]
async fn a_file_that_lacks_its_preamble_is_taken() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        hall.take(&image("1.2.3.1.1", 100, 7, "A")[132..]).await.unwrap();
        assert_eq!(hall.blobs(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_instance_other_than_announced_is_refused() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        let announce = async |receipt: Receipt| {
            let mut spool = hall.receiver.spool();
            spool.write(image("1.2.3.1.1", 100, 7, "A").into()).await.unwrap();
            hall.receiver.receive(receipt, spool).await.unwrap_err()
        };
        let other_study =
            Receipt { expected_study: Some("1.2.4".parse().unwrap()), ..Receipt::from_sender(CLINIC) };
        let refused = announce(other_study).await;
        assert_eq!((refused.code(), refused.fault()), ("other-study", Fault::Mismatch));
        assert_eq!(refused.identity().unwrap().1.as_str(), "1.2.3.1.1");
        let other_sop = (uids::CT_IMAGE_STORAGE.parse().unwrap(), "1.2.3.1.9".parse().unwrap());
        let refused =
            announce(Receipt { expected_sop: Some(other_sop), ..Receipt::from_sender(CLINIC) }).await;
        assert_eq!(refused.code(), "other-sop-instance");
        assert_eq!(hall.blobs(), 0);
    })
    .await;
}

/// One in memory and one from a spooled file: what is compared and read later are plain bytes.
#[tokio::test]
async fn a_hall_that_seals_knows_its_instances_again_and_reads_them() {
    on_both(async |db| {
        let hallway = Hallway::with_blobs(db, OnConflict::Keep, NewBlobs::Sealed);
        for (sop_uid, size) in [("1.2.3.1.1", 1000), ("1.2.3.1.2", 3 << 20)] {
            let bytes = image(sop_uid, size, 7, "one");
            let stored = hallway.take(&bytes).await.unwrap();
            assert_eq!(stored.disposition, Disposition::Stored);
            let again = hallway.take(&image(sop_uid, size, 7, "another")).await.unwrap();
            assert_eq!(again.disposition, Disposition::AlreadyStored, "the same data set");
            let mut read = hallway.db.read().await.unwrap();
            let known = Instance::find(&mut read, CLINIC, stored.instance_id).await.unwrap();
            assert!(known.blob_key.ends_with(".dcm.sealed"));
            assert_eq!(known.size_bytes, bytes.len() as i64, "sizes are plain");
            assert_eq!(hallway.archive.get(&known.blob_key).await.unwrap(), bytes);
            let file = std::fs::read(hallway.folder.path().join("archive").join(&known.blob_key)).unwrap();
            assert!(!file.windows(8).any(|window| window == b"Test^Ada"));
        }
    })
    .await;
}

/// A Key Object Selection Document (PS3.3, section A.35.4) of that title that names 1.2.3.1.1 of study 1.2.3.
pub(crate) fn note(sop_uid: &str, code: &str) -> Vec<u8> {
    note_of("1.2.3", sop_uid, code, 1)
}

/// The same in that study, which names 1.2.3.1.1, 1.2.3.1.2 and so on of study 1.2.3.
fn note_of(study: &str, sop_uid: &str, code: &str, named: usize) -> Vec<u8> {
    let text = |tag: Tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
    let among =
        |tag: Tag, items| DataElement::new(tag, VR::SQ, DataSetSequence::<InMemDicomObject>::from(items));
    let within = |tag: Tag, item| among(tag, vec![item]);
    let title = InMemDicomObject::from_element_iter([
        text(tags::CODE_VALUE, VR::SH, code),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
    ]);
    let named = (1..=named).map(|number| {
        let uid = format!("1.2.3.1.{number}");
        InMemDicomObject::from_element_iter([text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &uid)])
    });
    let named = among(tags::REFERENCED_SOP_SEQUENCE, named.collect());
    let series = InMemDicomObject::from_element_iter([named]);
    let evidence = InMemDicomObject::from_element_iter([
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        within(tags::REFERENCED_SERIES_SEQUENCE, series),
    ]);
    let object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, sop_uid),
        text(tags::STUDY_INSTANCE_UID, VR::UI, study),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &format!("{study}.9")),
        within(tags::CONCEPT_NAME_CODE_SEQUENCE, title),
        within(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, evidence),
    ]);
    let mut bytes = Vec::new();
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

async fn is_visible(hall: &Hallway) -> bool {
    let uid = "1.2.3.1.1".parse().unwrap();
    Instance::by_uid(&mut hall.db.read().await.unwrap(), CLINIC, &uid).await.unwrap().is_some()
}

/// 113001: what comes again is taken and stays hidden (RAD TF-2, section 4.66.4.1.3).
#[tokio::test]
async fn of_a_rejected_instance_only_the_stored_bytes_are_acknowledged() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        let bytes = image("1.2.3.1.1", 100, 7, "A");
        hall.take(&bytes).await.unwrap();
        hall.take(&note("1.2.3.9.1", "113001")).await.unwrap();
        assert_eq!(hall.take(&bytes).await.unwrap().disposition, Disposition::AlreadyStored);
        for mut other in [image("1.2.3.1.1", 100, 8, "A"), image("1.2.3.1.1", 2 << 20, 8, "A")] {
            assert_eq!(hall.take(&other).await.unwrap_err().code(), "instance-conflict");
            // nor under another study, of which no note has spoken
            let uid = [0x20, 0, 0x0D, 0, b'U', b'I', 6, 0];
            let place = other.windows(8).position(|it| it == uid).unwrap();
            other[place + 8..place + 13].copy_from_slice(b"9.9.9");
            assert_eq!(hall.take(&other).await.unwrap_err().code(), "instance-conflict");
        }
        assert!(!is_visible(&hall).await);
        assert_eq!((hall.blobs(), count(&hall.db, "studies").await), (2, 1), "the image and the note");
    })
    .await;
}

#[tokio::test]
async fn other_bytes_under_a_deleted_uid_are_refused_and_bring_nothing_back() {
    for on_conflict in [OnConflict::Keep, OnConflict::Replace] {
        on_both(async |db| {
            let hall = Hallway::new(db, on_conflict);
            let bytes = image("1.2.3.1.1", 100, 7, "A");
            hall.take(&bytes).await.unwrap();
            let mut tx = hall.db.begin().await.unwrap();
            let study = "1.2.3".parse().unwrap();
            let target = rejection::Target { study: &study, series: None, instance: None };
            let standed = target.look(&mut tx, CLINIC).await.unwrap().unwrap();
            let ground = rejection::Ground { code: rejection::Code::Deleted, reason: "wrong", by: "someone" };
            rejection::remove(&mut tx, CLINIC, &target, &standed, &ground, SystemClock.now()).await.unwrap();
            tx.commit().await.unwrap();
            let refused = hall.take(&image("1.2.3.1.1", 100, 8, "A")).await.unwrap_err();
            assert_eq!(refused.code(), "instance-conflict");
            assert!(!is_visible(&hall).await);
            assert_eq!((hall.blobs(), count(&hall.db, "instance_versions").await), (1, 0));
            assert_eq!(hall.take(&bytes).await.unwrap().disposition, Disposition::AlreadyStored);
            assert!(is_visible(&hall).await, "the very same is there again");
        })
        .await;
    }
}

#[tokio::test]
async fn a_note_from_a_sender_who_may_not_reject_is_stored_without_effect() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        hall.take(&image("1.2.3.1.1", 100, 7, "A")).await.unwrap();
        for (uid, may_reject, seen) in [("1.2.3.9.1", false, true), ("1.2.3.9.2", true, false)] {
            let mut spool = hall.receiver.spool();
            spool.write(note(uid, "113037").into()).await.unwrap();
            let receipt = Receipt { may_reject, ..Receipt::from_sender(CLINIC) };
            let received = hall.receiver.receive(receipt, spool).await.unwrap();
            assert_eq!((received.disposition, is_visible(&hall).await), (Disposition::Stored, seen));
        }
    })
    .await;
}

/// IHE RAD TF-2, section 4.66.4.1.3: 113001 hides what comes later, 113037 refuses it.
#[tokio::test]
async fn a_note_counts_for_the_images_that_come_after_it() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        hall.take(&note_of("1.2.8", "1.2.8.9.1", "113001", 1)).await.unwrap();
        let hidden = hall.take(&image("1.2.3.1.1", 100, 7, "A")).await.unwrap();
        assert_eq!((hidden.disposition, is_visible(&hall).await), (Disposition::Stored, false));
        hall.take(&note_of("1.2.8", "1.2.8.9.2", "113037", 2)).await.unwrap();
        let refused = hall.take(&image("1.2.3.1.2", 100, 7, "A")).await.unwrap_err();
        assert!(matches!(refused, ReceiveError::Rejected(_)), "{refused:?}");
        assert_eq!(
            hall.take(&image("1.2.3.1.3", 100, 7, "A")).await.unwrap().disposition,
            Disposition::Stored
        );
    })
    .await;
}

#[tokio::test]
async fn a_note_that_names_too_much_is_refused_and_not_done_in_part() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        hall.take(&image("1.2.3.1.1", 100, 7, "A")).await.unwrap();
        let long = note_of("1.2.3", "1.2.3.9.1", "113001", 20_001);
        let refused = hall.take(&long).await.unwrap_err();
        assert_eq!((refused.code(), refused.fault()), ("rejection-note-too-long", Fault::Sender));
        assert!(is_visible(&hall).await);
        hall.take(&note_of("1.2.3", "1.2.3.9.2", "113001", 20_000)).await.unwrap();
        assert_eq!((is_visible(&hall).await, count(&hall.db, "rejections").await), (false, 20_000));
    })
    .await;
}

#[tokio::test]
async fn a_long_header_waits_for_memory_and_a_short_one_does_not() {
    on_both(async |db| {
        let hall = Hallway::new(db, OnConflict::Keep);
        let taken = hall.receiver.0.examining.acquire_many(EXAMINE_MIB).await.unwrap();
        hall.take(&image("1.2.3.1.1", 300_000, 7, "A")).await.unwrap();
        // 20 kB of elements, each of which is looked at; and as many bytes as a short header never has
        let many = note_of("1.2.3", "1.2.3.9.1", "113000", 3_000);
        let mut wide = dicom_object::from_reader(&image("1.2.3.1.2", 100, 7, "A")[128..]).unwrap();
        let icc_profile = PrimitiveValue::from(vec![7_u8; 300_000]);
        wide.put(DataElement::new(tags::ICC_PROFILE, VR::OB, icc_profile));
        let mut bytes = Vec::new();
        wide.write_all(&mut bytes).unwrap();
        for long in [&many, &bytes] {
            let waiting = tokio::time::timeout(std::time::Duration::from_millis(500), hall.take(long));
            assert!(waiting.await.is_err(), "it takes its share of the budget");
        }
        drop(taken);
        for long in [&many, &bytes] {
            assert_eq!(hall.take(long).await.unwrap().disposition, Disposition::Stored);
        }
    })
    .await;
}
