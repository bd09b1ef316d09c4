//! What the hall does before it stores, over both databases and a real folder.

use std::sync::Arc;

use clinical::clock::SystemClock;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use part10::{Scan, text};
use serde_json::json;
use storage::archive::{DataKeys, NewBlobs};
use storage::db::DbError;
use storage::records::clinic::{Clinic, Settings};
use storage::records::forward::{ForwardRule, RuleFacts};
use storage::records::instance::Instance;
use storage::records::peer::{DicomPeer, PeerFacts};
use storage::testing::{count, keyring, on_both};

use super::*;
use crate::hygiene::clamd::{ClamdAddress, ClamdSettings, stub};
use crate::receive::tests::note;

const CLINIC: ClinicId = ClinicId::DEFAULT;

struct Place {
    _folder: tempfile::TempDir,
    db: Db,
    archive: Archive,
    receiver: Receiver,
}

impl Place {
    fn new(db: Db, hygiene: impl FnOnce(&std::path::Path) -> HygieneSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = DataKeys::new(db.clone(), keyring("a"), Arc::new(SystemClock));
        let archive = Archive::folder(&folder.path().join("archive")).unwrap();
        let archive = archive.with_keys(keys.clone(), NewBlobs::Plain);
        let settings = ReceiveSettings {
            limits: IngestLimits { memory_bytes: 1 << 20, ..IngestLimits::default() },
            on_conflict: OnConflict::Keep,
            quiet: TimeDelta::seconds(5),
            spool_folder: folder.path().to_owned(),
        };
        let hygiene = HygieneSettings { data_keys: Some(keys), ..hygiene(folder.path()) };
        let clock = Arc::new(SystemClock);
        let receiver = Receiver::kept_clean(db.clone(), archive.clone(), clock, settings, hygiene);
        Self { _folder: folder, db, archive, receiver }
    }

    async fn set(&self, settings: serde_json::Value) {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let mut tx = self.db.begin().await.unwrap();
        Clinic::set(&mut tx, CLINIC, &settings).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn take(&self, bytes: &[u8]) -> Result<Received, ReceiveError> {
        self.take_as(bytes, Receipt::from_sender(CLINIC)).await
    }

    async fn take_as(&self, bytes: &[u8], receipt: Receipt) -> Result<Received, ReceiveError> {
        let mut spool = self.receiver.spool();
        for piece in bytes.chunks(100_000) {
            spool.write(piece.to_vec().into()).await?;
        }
        self.receiver.receive(receipt, spool).await
    }

    async fn held(&self) -> Vec<Held> {
        Held::list(&mut self.db.read().await.unwrap(), CLINIC, None, 10).await.unwrap()
    }
}

/// An image of `pixels` in study 1.2.3.
fn image(sop_uid: &str, pixels: Vec<u8>) -> Vec<u8> {
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
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

/// Short ones go through memory, those over 1 MiB through a file.
#[tokio::test]
async fn a_clinic_that_wants_it_gets_only_what_is_de_identified() {
    on_both(async |db| {
        let place = Place::new(db, |_| HygieneSettings::default());
        place.set(json!({ "deidentifyOnReceipt": { "dates": "modified" } })).await;
        let named = Receipt { file_name: Some("Ada.dcm".into()), ..Receipt::from_sender(CLINIC) };
        let short = place.take_as(&image("1.2.3.4.1", vec![7; 100]), named.clone()).await.unwrap();
        let long = place.take_as(&image("1.2.3.4.2", vec![7; 3 << 20]), named).await.unwrap();
        assert_eq!(short.study_uid, long.study_uid);
        assert_ne!(short.study_uid.as_str(), "1.2.3");
        for received in [short, long] {
            let mut rows = place.db.read().await.unwrap();
            let stored = Instance::find(&mut rows, CLINIC, received.instance_id).await.unwrap();
            assert_eq!(stored.file_name, None, "a file's name tells whose it is");
            let bytes = place.archive.get(&stored.blob_key).await.unwrap();
            let scan = Scan::read(&mut std::io::Cursor::new(&bytes), &part10::Limits::default()).unwrap();
            assert_eq!(text(scan.header(), tags::PATIENT_IDENTITY_REMOVED).as_deref(), Some("YES"));
            assert_ne!(text(scan.header(), tags::PATIENT_ID).as_deref(), Some("P1"));
            assert!(!bytes.windows(3).any(|window| window == b"Ada"));
            assert_eq!(stored.sop_uid.as_str(), text(scan.header(), tags::SOP_INSTANCE_UID).unwrap());
        }
        assert_eq!(count(&place.db, "patients").await, 1);
        let again = place.take(&image("1.2.3.4.1", vec![7; 100])).await.unwrap();
        assert_eq!(again.disposition, Disposition::AlreadyStored, "the same comes out of the same");
    })
    .await;
}

#[tokio::test]
async fn what_the_scanner_finds_is_held_until_a_person_releases_it() {
    on_both(async |db| {
        let hygiene = HygieneSettings { clamd: Some(stub::start(64 << 20)), ..HygieneSettings::default() };
        let place = Place::new(db, |_| hygiene);
        place.take(&image("1.2.3.4.1", vec![7; 100])).await.unwrap();
        let mut pixels = vec![7; 2 << 20];
        pixels.extend_from_slice(stub::SIGNATURE);
        let infected = image("1.2.3.4.2", pixels);
        for _ in 0..2 {
            let refused = place.take(&infected).await.unwrap_err();
            assert!(matches!(refused, ReceiveError::Held(HeldReason::Infected, Some(_))), "{refused}");
            assert_eq!((refused.code(), refused.fault()), ("held-back", Fault::Held));
        }
        let held = place.held().await;
        assert_eq!(held.len(), 1, "the same bytes are held once");
        let facts = &held[0].facts;
        assert_eq!(
            (facts.detail.as_str(), facts.sop_uid.as_deref()),
            ("Eicar-Test-Signature", Some("1.2.3.4.2"))
        );
        assert_eq!(place.archive.get(&facts.blob_key).await.unwrap(), infected);
        assert_eq!(count(&place.db, "instances").await, 1);
        let released = place.receiver.release(Receipt::from_sender(CLINIC), held[0].held_id).await.unwrap();
        assert_eq!(released.sop_uid.as_str(), "1.2.3.4.2");
        let elsewhere = place.receiver.release(Receipt::from_sender(ClinicId::new()), held[0].held_id).await;
        assert!(matches!(elsewhere, Err(ReceiveError::Database(DbError::NotFound))));
    })
    .await;
}

#[tokio::test]
async fn what_nobody_could_scan_is_held_too() {
    on_both(async |db| {
        let nobody = ClamdSettings {
            address: ClamdAddress::Unix("/nowhere/clamd.ctl".into()),
            patience: std::time::Duration::from_secs(1),
        };
        let hygiene = HygieneSettings { clamd: Some(nobody), ..HygieneSettings::default() };
        let place = Place::new(db, |_| hygiene);
        let refused = place.take(&image("1.2.3.4.1", vec![7; 100])).await.unwrap_err();
        assert!(matches!(refused, ReceiveError::Held(HeldReason::NotScanned, _)), "{refused}");
        assert_eq!((place.held().await.len(), count(&place.db, "instances").await), (1, 0));
    })
    .await;
}

/// The longer one lies in a file, whose handle the scan and the holding back share.
#[tokio::test]
async fn a_scanner_that_hangs_holds_up_nothing_and_what_it_has_not_judged_is_held_whole() {
    on_both(async |db| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ClamdAddress::Tcp(listener.local_addr().unwrap().to_string());
        std::thread::spawn(move || {
            // slow, and never silent for long
            for mut stream in listener.incoming().flatten() {
                let mut some = vec![0; 64 << 10];
                while std::io::Read::read(&mut stream, &mut some).is_ok_and(|count| count > 0) {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
            }
        });
        let slow = ClamdSettings { address, patience: std::time::Duration::from_millis(300) };
        let hygiene = HygieneSettings { clamd: Some(slow), ..HygieneSettings::default() };
        let place = Place::new(db, |_| hygiene);
        let long = image("1.2.3.4.1", (0..16 << 20).map(|at: u32| (at >> 10) as u8).collect());
        let refused = place.take(&long).await.unwrap_err();
        assert!(matches!(refused, ReceiveError::Held(HeldReason::NotScanned, _)), "{refused}");
        let held = place.held().await;
        assert!(place.archive.get(&held[0].facts.blob_key).await.unwrap() == long);

        let turns = place.receiver.0.hygiene.scans.clone();
        let all = u32::try_from(turns.available_permits()).unwrap();
        let _taken = turns.acquire_many(all).await.unwrap();
        let refused = place.take(&image("1.2.3.4.2", vec![7; 100])).await.unwrap_err();
        assert!(matches!(refused, ReceiveError::Held(HeldReason::NotScanned, _)), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn what_is_released_counts_once_against_the_quota() {
    on_both(async |db| {
        let nobody = ClamdSettings {
            address: ClamdAddress::Unix("/nowhere/clamd.ctl".into()),
            patience: std::time::Duration::from_secs(1),
        };
        let hygiene =
            HygieneSettings { clamd: Some(nobody), clinic_quota_bytes: 15_000, ..HygieneSettings::default() };
        let place = Place::new(db, |_| hygiene);
        place.take(&image("1.2.3.4.1", vec![7; 10_000])).await.unwrap_err();
        let held_id = place.held().await[0].held_id;
        place.receiver.release(Receipt::from_sender(CLINIC), held_id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_does_not_match_is_held_where_the_clinic_wants_to_see_it() {
    on_both(async |db| {
        let place = Place::new(db, |_| HygieneSettings::default());
        let other = Receipt { expected_study: Some("9.9".parse().unwrap()), ..Receipt::from_sender(CLINIC) };
        let bytes = image("1.2.3.4.1", vec![7; 100]);
        let refused = place.take_as(&bytes, other.clone()).await.unwrap_err();
        assert!(matches!(refused, ReceiveError::OtherStudy(_)));
        assert_eq!(place.held().await, []);
        let place = Place::new(place.db.clone(), |_| HygieneSettings::default());
        place.set(json!({ "holdRefused": true })).await;
        let refused = place.take_as(&bytes, other).await.unwrap_err();
        assert!(matches!(refused, ReceiveError::Held(HeldReason::Refused, Some(_))));
        assert_eq!(place.held().await[0].facts.detail, "other-study");
    })
    .await;
}

/// Forwards what the AE `from` sends to the AE `to`.
async fn forward(place: &Place, from: Option<&str>, to: &str) {
    let mut tx = place.db.begin().await.unwrap();
    let facts = PeerFacts { ae_title: to.parse().unwrap(), host: "pacs".into(), port: 104, uses_tls: false };
    let peer = DicomPeer::create(&mut tx, CLINIC, facts, SystemClock.now()).await.unwrap();
    let facts = RuleFacts {
        peer_id: peer.peer_id,
        modality: None,
        calling_ae: from.map(|title| title.parse().unwrap()),
        body_part: None,
        wants_commitment: false,
        is_enabled: true,
    };
    ForwardRule::create(&mut tx, CLINIC, facts, SystemClock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_released_is_forwarded_as_by_who_sent_it_and_never_back_to_them() {
    on_both(async |db| {
        let place = Place::new(db, |_| HygieneSettings::default());
        place.set(json!({ "holdRefused": true })).await;
        forward(&place, Some("CT1"), "ARCHIVE").await;
        forward(&place, None, "CT1").await;
        let sent = Receipt {
            calling_ae: Some("CT1".parse().unwrap()),
            expected_study: Some("9.9".parse().unwrap()),
            ..Receipt::from_sender(CLINIC)
        };
        place.take_as(&image("1.2.3.4.1", vec![7; 100]), sent).await.unwrap_err();
        let held_id = place.held().await[0].held_id;
        place.receiver.release(Receipt::from_sender(CLINIC), held_id).await.unwrap();
        let to = "SELECT ae_title FROM forwards JOIN dicom_peers ON dicom_peers.peer_id = forwards.peer_id";
        let mut rows = place.db.read().await.unwrap();
        let to: Vec<String> = storage::db::sql(to).fetch_all(&mut rows).await.unwrap();
        assert_eq!(to, ["ARCHIVE"]);
    })
    .await;
}

#[tokio::test]
async fn a_note_that_is_released_rejects_where_who_releases_it_may() {
    on_both(async |db| {
        let place = Place::new(db, |_| HygieneSettings::default());
        place.set(json!({ "holdRefused": true })).await;
        place.take(&image("1.2.3.1.1", vec![7; 100])).await.unwrap();
        for (uid, may_reject, left) in [("1.2.3.9.1", false, 1), ("1.2.3.9.2", true, 0)] {
            let other =
                Receipt { expected_study: Some("9.9".parse().unwrap()), ..Receipt::from_sender(CLINIC) };
            place.take_as(&note(uid, "113037"), other).await.unwrap_err();
            let held = place.held().await;
            let held = held.iter().find(|it| it.facts.sop_uid.as_deref() == Some(uid)).unwrap();
            let by = Receipt { may_reject, ..Receipt::from_sender(CLINIC) };
            place.receiver.release(by, held.held_id).await.unwrap();
            let (mut rows, image) = (place.db.read().await.unwrap(), "1.2.3.1.1".parse().unwrap());
            let found = Instance::by_uid(&mut rows, CLINIC, &image).await.unwrap();
            assert_eq!(found.iter().count(), left, "may reject: {may_reject}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_disk_or_a_clinic_that_is_nearly_full_refuses_politely_and_takes_again() {
    on_both(async |db| {
        let full = Place::new(db.clone(), |folder| HygieneSettings {
            disk_watermark_bytes: u64::MAX,
            folders: vec![folder.to_owned()],
            ..HygieneSettings::default()
        });
        let bytes = image("1.2.3.4.1", vec![7; 10_000]);
        let refused = full.take(&bytes).await.unwrap_err();
        assert_eq!((refused.code(), refused.fault()), ("insufficient-storage", Fault::Full));
        let refused = full.take(&image("1.2.3.4.2", vec![7; 3 << 20])).await.unwrap_err();
        assert_eq!(refused.fault(), Fault::Full, "while it is spooled");
        assert_eq!(count(&full.db, "instances").await, 0);

        let place =
            Place::new(db, |_| HygieneSettings { clinic_quota_bytes: 25_000, ..HygieneSettings::default() });
        place.take(&bytes).await.unwrap();
        place.take(&image("1.2.3.4.2", vec![7; 10_000])).await.unwrap();
        let third = image("1.2.3.4.3", vec![7; 10_000]);
        assert_eq!(place.take(&third).await.unwrap_err().fault(), Fault::Full);
        assert_eq!(count(&place.db, "instances").await, 2, "what was acknowledged is there");
        let roomier = Place::new(place.db.clone(), |_| HygieneSettings::default());
        roomier.take(&third).await.unwrap();
    })
    .await;
}
