//! C-CANCEL, and peers that leave in the middle.

use storage::db::built_sql;
use storage::testing::on_both;

use super::asker::{Asker, CT_CONTEXT, FIND_CONTEXT, GET_CONTEXT, identifier};
use super::*;

/// Many studies, as rows alone: enough that their answers do not fit between two looks at the connection.
async fn many_studies(door: &Open, count: u32) {
    door.take(&ADA.file()).await;
    let mut tx = door.db.begin().await.unwrap();
    let copy = "INSERT INTO studies (study_id, clinic_id, patient_id, study_uid, study_date, stored_at)
                SELECT $1, clinic_id, patient_id, $2, study_date, stored_at FROM studies WHERE study_uid = '1.2.1'";
    for number in 0..count {
        let id = clinical::id::StudyId::new();
        built_sql(copy.to_owned()).bind(id).bind(format!("1.9.{number}")).execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// PS3.4, section C.4.1.1.4: FE00 ends a C-FIND that was cancelled; the association goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_find_ends_where_it_is_cancelled_and_the_association_goes_on() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        many_studies(&door, 3_000).await;
        let mut asker = Asker::associated(&door).await;
        let keys = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, "")]);
        asker.ask(FIND_CONTEXT, &keys).await;
        assert_eq!(asker.next().await.unwrap().status(), 0xFF00);
        asker.cancel(FIND_CONTEXT).await;
        let mut answers = 1;
        let last = loop {
            let answer = asker.next().await.unwrap();
            match answer.status() {
                0xFF00 => answers += 1,
                status => break status,
            }
        };
        assert_eq!(last, 0xFE00);
        assert!(answers < 3_001, "{answers}");
        // one that comes too late ends nothing
        asker.cancel(FIND_CONTEXT).await;
        let one = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, "1.9.7")]);
        asker.ask(FIND_CONTEXT, &one).await;
        let statuses = [asker.next().await.unwrap().status(), asker.next().await.unwrap().status()];
        assert_eq!(statuses, [0xFF00, 0x0000]);

        asker.ask(FIND_CONTEXT, &keys).await;
        let mut all = 0;
        while asker.next().await.unwrap().status() == 0xFF00 {
            all += 1;
        }
        assert_eq!(all, 3_001, "page after page, each study once");
        door.close().await;
    })
    .await;
}

/// PS3.4, section C.4.3.1.4: counts in the pending responses; FE00 with what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_counts_and_ends_where_it_is_cancelled() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        let uids = ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3", "1.2.1.1.4"];
        for (index, sop) in uids.into_iter().enumerate() {
            door.take(&Sample { sop, number: &index.to_string(), ..ADA }.file()).await;
        }
        let mut asker = Asker::associated(&door).await;
        let keys = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, "1.2.1")]);
        asker.ask(GET_CONTEXT, &keys).await;
        let counts = |message: &asker::Message| [0x1020, 0x1021, 0x1022, 0x1023].map(|it| message.number(it));
        for done in 1..3 {
            let request = asker.next().await.unwrap();
            assert_eq!((request.context_id, request.number(0x0100)), (CT_CONTEXT, Some(1)));
            assert!(request.data_set.ends_with(&noise(128)));
            if done == 2 {
                asker.cancel(GET_CONTEXT).await;
            }
            asker.stored(&request).await;
            let answer = asker.next().await.unwrap();
            let status = if done == 2 { 0xFE00 } else { 0xFF00 };
            assert_eq!(answer.status(), status);
            assert_eq!(counts(&answer), [Some(4 - done), Some(done), Some(0), Some(0)]);
        }
        asker.ask(GET_CONTEXT, &keys).await;
        for _ in 0..4 {
            let request = asker.next().await.unwrap();
            asker.stored(&request).await;
            assert_eq!(asker.next().await.unwrap().status(), 0xFF00);
        }
        let last = asker.next().await.unwrap();
        assert_eq!((last.status(), counts(&last)), (0x0000, [None, Some(4), Some(0), Some(0)]));
        door.close().await;
    })
    .await;
}

/// 120 associations that say nothing: a known server stalls there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_and_twenty_idle_associations_do_not_stop_an_echo() {
    rlimit::increase_nofile_limit(4_096).unwrap();
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        let mut idle = Vec::new();
        for _ in 0..120 {
            idle.push(Asker::associated(&door).await);
        }
        // it waits five seconds for the association, and five for the answer
        let output = dcmtk("echoscu", &door, &[b"-aec", b"MEDILINK", b"-ta", b"5", b"-td", b"5"]).await;
        assert!(output.status.success(), "{}", explain(&output));
        drop(idle);
        door.close().await;
    })
    .await;
}

/// Whoever leaves in the middle of an answer leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_leaves_ends_its_own_association_alone() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        many_studies(&door, 500).await;
        let keys = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, "")]);
        for context in [FIND_CONTEXT, GET_CONTEXT] {
            let mut asker = Asker::associated(&door).await;
            let keys = match context {
                GET_CONTEXT => {
                    identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, "1.2.1")])
                }
                _ => keys.clone(),
            };
            asker.ask(context, &keys).await;
            asker.next().await.unwrap();
        }
        for _ in 0..1_000 {
            if door.events.associations_open.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(door.events.associations_open.load(std::sync::atomic::Ordering::Relaxed), 0);
        door.close().await;
    })
    .await;
}
