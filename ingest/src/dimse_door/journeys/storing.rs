//! Whose instance a C-STORE brings, and what its sender may do.

use std::net::IpAddr;

use clinical::id::ApiKeyId;
use storage::records::instance::Instance;
use storage::testing::{count, on_both};

use super::*;
use crate::receive::tests::note;
use crate::scp::query::{DataSetBody, Model, Query, QueryScp, Retrieval, Towards};
use crate::scp::{AssociationInfo, Identified, InstanceSink, StoreScp};

/// An association of CT1, from that address and with a key of these scopes.
fn association(from: [u8; 4], key: Option<&[&str]>) -> AssociationInfo {
    let scopes = |scopes: &[&str]| scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    AssociationInfo {
        number: 1,
        peer: (IpAddr::from(from), 104).into(),
        calling_ae: "CT1".parse().unwrap(),
        called_ae: "MEDILINK".parse().unwrap(),
        identified: key.map(|it| Identified { api_key_id: ApiKeyId::new(), scopes: scopes(it) }),
    }
}

/// Hands the door an instance, as a Part 10 file, over that association.
async fn send(door: &Open, association: &AssociationInfo, file: &[u8]) {
    let scan = part10::Scan::read(&mut std::io::Cursor::new(file), &part10::Limits::default()).unwrap();
    let (class, sop) =
        (text(scan.header(), tags::SOP_CLASS_UID), text(scan.header(), tags::SOP_INSTANCE_UID));
    let (class, sop, syntax) = (class.parse().unwrap(), sop.parse().unwrap(), EXPLICIT.parse().unwrap());
    let begun = door.door.begin(association, &class, &sop, &syntax).await;
    let Ok(mut sink) = begun else { panic!("refused") };
    let start = part10::data_set_start(file).unwrap() as usize;
    sink.write(file[start..].to_vec().into()).await.unwrap();
    sink.finish().await.unwrap();
}

/// A note of title 113037 hides the image that it names, 1.2.3.1.1 of study 1.2.3 (IHE RAD TF-2, section 4.66).
#[tokio::test]
async fn a_key_that_only_stores_rejects_nothing() {
    let image = Sample { study: "1.2.3", series: "1.2.3.1", sop: "1.2.3.1.1", ..ADA };
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        door.take(&image.file()).await;
        for (note_uid, key, is_seen) in [
            ("1.2.3.9.1", Some(&["study:create"][..]), true),
            ("1.2.3.9.2", Some(&["study:create", "study:delete"]), false),
        ] {
            send(&door, &association([127, 0, 0, 1], key), &note(note_uid, "113037")).await;
            assert_eq!(is_visible(&door).await, is_seen, "{key:?}");
        }
        door.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_is_known_by_its_title_alone_may_reject() {
    let image = Sample { study: "1.2.3", series: "1.2.3.1", sop: "1.2.3.1.1", ..ADA };
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        door.take(&image.file()).await;
        send(&door, &association([127, 0, 0, 1], None), &note("1.2.3.9.1", "113037")).await;
        assert!(!is_visible(&door).await);
        door.close().await;
    })
    .await;
}

async fn is_visible(door: &Open) -> bool {
    let (mut rows, uid) = (door.db.read().await.unwrap(), "1.2.3.1.1".parse().unwrap());
    Instance::by_uid(&mut rows, ClinicId::DEFAULT, &uid).await.unwrap().is_some()
}

/// One row a sender, study and minute: what is asked for twice may fall into two minutes.
#[tokio::test]
async fn who_borrows_a_title_is_written_down_beside_its_owner() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        let keyed = association([10, 0, 0, 1], Some(&["study:create"]));
        let another_key = association([10, 0, 0, 1], Some(&["study:create"]));
        for (association, rows) in [
            (association([10, 0, 0, 1], None), 1),
            (association([10, 0, 0, 2], None), 2),
            (keyed, 3),
            (another_key, 4),
        ] {
            send(&door, &association, &ADA.file()).await;
            assert_eq!(count(&door.db, "audit_trail").await, rows, "{association:?}");
        }
        let mut study = InMemDicomObject::new_empty();
        study.put(DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, PrimitiveValue::from("STUDY")));
        study.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, PrimitiveValue::from(ADA.study)));
        let query = Query::new(Model::StudyRoot, study).unwrap();
        for (from, rows) in [([10, 0, 0, 1], 5), ([10, 0, 0, 2], 6)] {
            let fetched = door.door.retrieve(&association(from, None), &query, &Towards::Requestor).await;
            assert_eq!(fetched.ok().unwrap().instances().len(), 1);
            assert_eq!(count(&door.db, "audit_trail").await, rows, "{from:?}");
        }
        door.close().await;
    })
    .await;
}

/// PS3.10, section 7.1, wants both; what came without is sent on all the same.
#[tokio::test]
async fn what_came_without_preamble_and_length_of_group_2_is_sent() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        door.take(&ADA.file()[132..]).await;
        let mut study = InMemDicomObject::new_empty();
        study.put(DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, PrimitiveValue::from("STUDY")));
        study.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, PrimitiveValue::from(ADA.study)));
        let query = Query::new(Model::StudyRoot, study).unwrap();
        let peer = association([127, 0, 0, 1], None);
        let fetched = door.door.retrieve(&peer, &query, &Towards::Requestor).await.ok().unwrap();
        let mut body = fetched.open(0, &EXPLICIT.parse().unwrap()).await.unwrap();
        let (mut sent, file) = (Vec::new(), ADA.file());
        while let Some(piece) = body.next().await.unwrap() {
            sent.extend_from_slice(&piece);
        }
        assert!(sent == file[part10::data_set_start(&file).unwrap() as usize..]);
        door.close().await;
    })
    .await;
}
