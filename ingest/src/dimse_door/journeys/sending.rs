//! Forwarding and storage commitment, between two doors of ours and to dcmtk's storescp.

use clinical::ae_title::AeTitle;
use clinical::clock::Clock;
use clinical::imaging::SopReference;
use clinical::job::{Job, Queue};
use storage::db::Tx;
use storage::queue::{self, Claimed, QueueLimits};
use storage::records::ae_title::{ClinicTitle, Side};
use storage::records::clinic::Clinic;
use storage::records::commitment::{CLASS_CONFLICT, NO_SUCH_INSTANCE};
use storage::records::forward::{ForwardRule, RuleFacts};
use storage::records::peer::{DicomPeer, PeerFacts};
use storage::testing::on_both;
use tokio::time::timeout;

use super::retrieve::Storescp;
use super::*;
use crate::forward::{ForwardError, Forwarder};
use crate::scp::CommitmentRequest;
use crate::scu::{Association, Peer, Proposal, ScuSettings};

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// What sends for a door under `title`.
fn forwarder(door: &Open, title: &str) -> Forwarder {
    let archive = Archive::folder(&door.folder.path().join("archive")).unwrap();
    let (pool, pixels) = (Arc::new(DecodePool::inline()), PixelLimits::default());
    let shelves = Shelves::new(archive, pool, pixels, part10::Limits::default());
    let peers = Peers::new(door.db.clone(), vec![], None);
    Forwarder::new(door.db.clone(), Arc::new(SystemClock), peers, shelves, title.parse().unwrap())
}

async fn name_peer(tx: &mut Tx, clinic: ClinicId, title: &str, port: u16) -> DicomPeer {
    let (ae_title, host) = (title.parse().unwrap(), "127.0.0.1".to_owned());
    let facts = PeerFacts { ae_title, host, port, uses_tls: false };
    DicomPeer::create(tx, clinic, facts, SystemClock.now()).await.unwrap()
}

async fn forward_ct_to(door: &Open, title: &str, port: u16, wants_commitment: bool) {
    forward_ct_of(CLINIC, door, title, port, wants_commitment).await;
}

/// Forwards what comes for `clinic`, by a rule of its own.
async fn forward_ct_of(clinic: ClinicId, door: &Open, title: &str, port: u16, wants_commitment: bool) {
    let mut tx = door.db.begin().await.unwrap();
    let peer_id = name_peer(&mut tx, clinic, title, port).await.peer_id;
    let facts = RuleFacts {
        peer_id,
        modality: Some("CT".into()),
        calling_ae: None,
        body_part: None,
        wants_commitment,
        is_enabled: true,
    };
    ForwardRule::create(&mut tx, clinic, facts, SystemClock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// The next job that calls others, whenever it is due.
async fn next_job(door: &Open) -> Option<Claimed> {
    let later = SystemClock.now() + TimeDelta::hours(1);
    queue::claim_from(&door.db, Queue::Dicom, QueueLimits::default(), later).await.unwrap()
}

/// Lets the door's jobs be done, once each.
async fn work(door: &Open, title: &str) -> Vec<Result<(), ForwardError>> {
    let (forwarder, mut done) = (forwarder(door, title), Vec::new());
    while let Some(claimed) = next_job(door).await {
        done.push(match &claimed.job {
            Job::ForwardInstances { study_id, peer_id } => {
                forwarder.forward(&claimed, *study_id, *peer_id).await
            }
            Job::ReportCommitment { commitment_id } => forwarder.report(&claimed, *commitment_id).await,
            Job::AwaitCommitment { peer_id, transaction_uid, since } => {
                forwarder.await_report(&claimed, *peer_id, transaction_uid, *since).await
            }
            other => panic!("not a job of this queue: {other:?}"),
        });
        if done.last().is_some_and(Result::is_err) {
            // Else it would come back in an hour.
            let mut tx = door.db.begin().await.unwrap();
            queue::finish(&mut tx, &claimed).await.unwrap();
            tx.commit().await.unwrap();
            break;
        }
    }
    done
}

/// How many instances are in which state on their way.
async fn states(door: &Open) -> Vec<String> {
    let mut rows = door.db.read().await.unwrap();
    storage::db::sql("SELECT state FROM forwards ORDER BY state").fetch_all(&mut rows).await.unwrap()
}

/// Every transfer syntax is taken, and the data set kept as it came.
const BIT_FOR_BIT: &[&str] = &["-aet", "ARCHIVE", "+B", "+xa"];
const SECOND: Sample<'_> = Sample { sop: "1.2.1.1.2", number: "2", ..ADA };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rule_names_arrives_bit_for_bit_and_once() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        let storescp = Storescp::start(BIT_FOR_BIT).await;
        forward_ct_to(&door, "ARCHIVE", storescp.port, false).await;
        let other = Sample { modality: "MR", study: "1.2.2", series: "1.2.2.1", sop: "1.2.2.1.1", ..ADA };
        for sample in [ADA, SECOND, other] {
            door.take(&sample.file()).await;
        }
        assert_eq!(states(&door).await, ["waiting", "waiting"]);
        let done = work(&door, "MEDILINK").await;
        assert!(matches!(done[..], [Ok(())]), "one job a study: {done:?}");
        assert_eq!(states(&door).await, ["sent", "sent"]);
        let arrived = files(storescp.folder.path());
        assert_eq!(arrived.len(), 2);
        let data_set = |bytes: &[u8]| {
            let group_bytes = u32::from_le_bytes(bytes[140..144].try_into().unwrap()) as usize;
            bytes[144 + group_bytes..].to_vec()
        };
        for (path, sample) in arrived.iter().zip([ADA, SECOND]) {
            assert!(
                data_set(&std::fs::read(path).unwrap()) == data_set(&sample.file()),
                "{}",
                path.display()
            );
        }
        door.take(&ADA.file()).await;
        assert!(next_job(&door).await.is_none(), "what is stored already is not sent again");
        door.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_does_not_take_waits_and_is_sent_when_it_does() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        forward_ct_to(&door, "ARCHIVE", closed.port(), false).await;
        door.take(&ADA.file()).await;
        let done = work(&door, "MEDILINK").await;
        assert!(matches!(done[..], [Err(ForwardError::Scu(_))]), "{done:?}");
        assert_eq!(states(&door).await, ["waiting"]);

        // Our JPEG 2000 is noise that nobody can write anew, and this one takes nothing compressed.
        let storescp = Storescp::start(&["-aet", "ARCHIVE"]).await;
        let mut tx = door.db.begin().await.unwrap();
        let peer = DicomPeer::list(&mut tx, CLINIC, None, 1).await.unwrap().remove(0);
        let facts = PeerFacts { port: storescp.port, ..peer.facts };
        DicomPeer::change(&mut tx, CLINIC, peer.peer_id, &facts).await.unwrap();
        tx.commit().await.unwrap();
        let packed = Sample { transfer_syntax: JPEG_2000, ..SECOND };
        door.take(&packed.file()).await;
        let done = work(&door, "MEDILINK").await;
        assert!(matches!(done[..], [Err(ForwardError::NotTaken(1, _))]), "{done:?}");
        assert_eq!(states(&door).await, ["sent", "waiting"]);
        assert_eq!(files(storescp.folder.path()).len(), 1);
        door.close().await;
    })
    .await;
}

fn reference(class: &str, instance: &str) -> SopReference {
    SopReference { sop_class_uid: class.parse().unwrap(), sop_uid: instance.parse().unwrap() }
}

/// An association with a door, for storage commitment, under `title`.
async fn asking(door: &Open, title: &str) -> Association {
    let peer =
        Peer { ae_title: AeTitle::MEDILINK, host: "127.0.0.1".into(), port: door.address.port(), tls: None };
    let settings = ScuSettings { calling: title.parse().unwrap(), ..ScuSettings::default() };
    Association::open(&peer, &settings, &Proposal::commitment()).await.unwrap()
}

/// A house beside the one that is tested, with its folder.
async fn another() -> (tempfile::TempDir, Open) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("there").display())).await.unwrap();
    db.migrate().await.unwrap();
    (folder, Open::with(db, &[]).await)
}

/// Lets what was vouched for be asked for again under `transaction`.
async fn unhear(door: &Open, transaction: &str) {
    let mut tx = door.db.begin().await.unwrap();
    let again = format!("UPDATE forwards SET state = 'sent', transaction_uid = '{transaction}'");
    storage::db::built_sql(again).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// PS3.4, section J.3.3: the report comes over the same association or over another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_at_once_what_is_held_and_what_is_not() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        door.take(&ADA.file()).await;
        let asked = vec![
            reference(CT, ADA.sop),
            reference(uids::MR_IMAGE_STORAGE, ADA.sop),
            reference(CT, "1.2.3.4.5"),
        ];
        let request = CommitmentRequest { transaction_uid: "2.25.1".parse().unwrap(), asked: asked.clone() };
        let mut association = asking(&door, "CT1").await;
        assert_eq!(association.ask_commitment(&request).await.unwrap(), 0);
        let report = association.await_report(Duration::from_secs(20)).await.unwrap().unwrap();
        assert_eq!(report.transaction_uid, request.transaction_uid);
        assert_eq!(report.committed, asked[..1]);
        let failed = [(asked[1].clone(), CLASS_CONFLICT), (asked[2].clone(), NO_SUCH_INSTANCE)];
        assert_eq!(report.failed, failed);
        assert!(association.await_report(Duration::from_secs(1)).await.unwrap().is_none(), "once");
        association.release().await;
        // The job that would call the peer finds that it was told.
        assert!(matches!(work(&door, "MEDILINK").await[..], [Ok(())]));
        door.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_left_is_called_where_it_is_known_and_what_it_forwarded_is_then_vouched_for() {
    on_both(async |db| {
        let here = Open::with(db, &[]).await;
        let (_folder, there) = another().await;
        forward_ct_to(&here, "MEDILINK", there.address.port(), true).await;
        let mut tx = here.db.begin().await.unwrap();
        let title = "HERE".parse().unwrap();
        ClinicTitle::name(&mut tx, CLINIC, &title, Side::Called, SystemClock.now()).await.unwrap();
        tx.commit().await.unwrap();
        for sample in [ADA, SECOND] {
            here.take(&sample.file()).await;
        }
        // Whoever asks waits some seconds, and is told within them.
        let asked = timeout(Duration::from_secs(30), work(&here, "HERE")).await.unwrap();
        assert!(matches!(asked[..], [Ok(()), Ok(())]), "it was told before it would ask again: {asked:?}");
        assert_eq!(states(&here).await, ["committed", "committed"]);

        // The same again, by one who leaves at once.
        let request = CommitmentRequest {
            transaction_uid: "2.25.2".parse().unwrap(),
            asked: vec![reference(CT, ADA.sop), reference(CT, SECOND.sop)],
        };
        unhear(&here, "2.25.2").await;
        let mut association = asking(&there, "HERE").await;
        assert_eq!(association.ask_commitment(&request).await.unwrap(), 0);
        association.release().await;
        let unknown = work(&there, "MEDILINK").await;
        let is_unknown = |done: &Result<_, _>| matches!(done, Err(ForwardError::UnknownPeer(_)));
        assert!(unknown.last().is_some_and(is_unknown), "{unknown:?}");

        let mut tx = there.db.begin().await.unwrap();
        name_peer(&mut tx, CLINIC, "HERE", here.address.port()).await;
        tx.commit().await.unwrap();
        let mut association = asking(&there, "HERE").await;
        assert_eq!(association.ask_commitment(&request).await.unwrap(), 0);
        association.release().await;
        assert!(work(&there, "MEDILINK").await.iter().all(Result::is_ok));
        assert_eq!(states(&here).await, ["committed", "committed"]);
        here.close().await;
        there.close().await;
    })
    .await;
}

/// The house's own title means the default clinic: whose question it was, its transaction tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_over_a_new_association_finds_the_clinic_that_has_asked() {
    on_both(async |db| {
        let here = Open::with(db, &[]).await;
        let (_folder, there) = another().await;
        let mut tx = here.db.begin().await.unwrap();
        let north = Clinic::create(&mut tx, "North", "UTC", SystemClock.now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        forward_ct_of(north, &here, "MEDILINK", there.address.port(), true).await;
        let mut spool = here.receiver.spool();
        spool.write(ADA.file().into()).await.unwrap();
        here.receiver.receive(Receipt::from_sender(north), spool).await.unwrap();
        assert!(work(&here, "MEDILINK").await.iter().all(Result::is_ok));
        assert_eq!(states(&here).await, ["committed"]);

        unhear(&here, "2.25.3").await;
        let mut tx = there.db.begin().await.unwrap();
        name_peer(&mut tx, CLINIC, "MEDILINK", here.address.port()).await;
        tx.commit().await.unwrap();
        let asked = vec![reference(CT, ADA.sop)];
        let request = CommitmentRequest { transaction_uid: "2.25.3".parse().unwrap(), asked };
        let mut association = asking(&there, "MEDILINK").await;
        assert_eq!(association.ask_commitment(&request).await.unwrap(), 0);
        association.release().await;
        assert!(work(&there, "MEDILINK").await.iter().all(Result::is_ok));
        assert_eq!(states(&here).await, ["committed"]);
        here.close().await;
        there.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_asked_and_has_not_reported_is_asked_again_for_days_and_then_a_person_is_told() {
    on_both(async |db| {
        let here = Open::with(db, &[]).await;
        let (_folder, there) = another().await;
        forward_ct_to(&here, "MEDILINK", there.address.port(), true).await;
        here.take(&ADA.file()).await;
        assert!(work(&here, "MEDILINK").await.iter().all(Result::is_ok));
        let mut rows = here.db.read().await.unwrap();
        let peer_id = DicomPeer::list(&mut rows, CLINIC, None, 1).await.unwrap().remove(0).peer_id;
        drop(rows);
        let ask_again = async |transaction: &str, since| {
            unhear(&here, transaction).await;
            let transaction_uid = transaction.parse().unwrap();
            let job = Job::AwaitCommitment { peer_id, transaction_uid, since };
            let mut tx = here.db.begin().await.unwrap();
            queue::put_off(&mut tx, CLINIC, &job, SystemClock.now(), TimeDelta::minutes(1)).await.unwrap();
            tx.commit().await.unwrap();
            work(&here, "MEDILINK").await
        };
        // As after an end in the middle: what was asked is written down, and nobody has heard the answer.
        let done = ask_again("2.25.4", SystemClock.now()).await;
        assert!(matches!(done[..], [Ok(())]), "{done:?}");
        assert_eq!(states(&here).await, ["committed"]);
        let done = ask_again("2.25.5", SystemClock.now() - TimeDelta::days(4)).await;
        assert!(matches!(done[..], [Err(ForwardError::NotReported(_))]), "{done:?}");
        here.close().await;
        there.close().await;
    })
    .await;
}
