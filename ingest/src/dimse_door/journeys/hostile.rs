//! Identifiers that nobody means well by end in a status, and the association goes on.

use storage::testing::on_both;

use super::asker::{Asker, FIND_CONTEXT, GET_CONTEXT, identifier};
use super::*;

/// What is wrong with it, the identifier, and the status (PS3.4, table C.4-1: A900, Cxxx).
fn bad_ones() -> Vec<(&'static str, Vec<u8>, u16)> {
    let level = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY")]);
    let mut nest = level.clone();
    for _ in 0..5_000 {
        nest.extend_from_slice(&[0x08, 0, 0x10, 0x11, 0xFF, 0xFF, 0xFF, 0xFF]);
        nest.extend_from_slice(&[0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    let huge = [&level[..], &[0x10, 0, 0x10, 0, 0xFE, 0xFF, 0xFF, 0xFF, b'A', b'A']].concat();
    let flood: Vec<u8> = (0..30_000_u32).flat_map(|_| [0x10, 0, 0x10, 0, 0, 0, 0, 0]).collect();
    let long =
        identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::PATIENT_NAME, &"x".repeat(1 << 20))]);
    let name =
        identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::PATIENT_NAME, &"x".repeat(50_000))]);
    let uids = vec!["1.2"; 20_000].join("\\");
    let list = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, &uids)]);
    let path = [(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::STUDY_INSTANCE_UID, "../../etc/passwd")];
    vec![
        ("nothing at all", Vec::new(), 0xA900),
        ("a nest of sequences", nest, 0xC000),
        ("a value of 4 GiB", huge, 0xC000),
        ("a value cut short", level[..level.len() - 1].to_vec(), 0xC000),
        ("a flood of elements", flood, 0xC000),
        ("a megabyte", long, 0xC000),
        ("a long name", name, 0xA900),
        ("a long list", list, 0xA900),
        ("a path as UID", identifier(&path), 0xA900),
        ("a level of its own", identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "EVERYTHING")]), 0xA900),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_identifier_gets_its_status_and_the_association_goes_on() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        door.take(&ADA.file()).await;
        let mut asker = Asker::associated(&door).await;
        for (what, bytes, status) in bad_ones() {
            for context in [FIND_CONTEXT, GET_CONTEXT] {
                asker.ask(context, &bytes).await;
                let answer = asker.next().await.expect(what);
                assert_eq!(format!("{:04X}", answer.status()), format!("{status:04X}"), "{what}");
            }
        }
        let good = identifier(&[(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::PATIENT_ID, "A1")]);
        asker.ask(FIND_CONTEXT, &good).await;
        let statuses = [asker.next().await.unwrap().status(), asker.next().await.unwrap().status()];
        assert_eq!(statuses, [0xFF00, 0x0000]);
        door.close().await;
    })
    .await;
}

/// PS3.7, section 9.1.2.1: the class of the request is that of its context, and an identifier is mandatory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_the_wrong_context_or_without_an_identifier_is_refused() {
    on_both(async |db| {
        let door = Open::with(db, &[]).await;
        let mut asker = Asker::associated(&door).await;
        let class = asker::FIND.as_bytes();
        let class = [class, &[0][..class.len() % 2]].concat();
        let find: [(u16, &[u8]); 4] =
            [(0x0002, &class), (0x0100, &[0x20, 0]), (0x0110, &[7, 0]), (0x0800, &[1, 0])];
        asker.send(GET_CONTEXT, &find, Some(&[])).await;
        assert_eq!(asker.next().await.unwrap().status(), 0x0122);
        let bare: [(u16, &[u8]); 4] =
            [(0x0002, &class), (0x0100, &[0x20, 0]), (0x0110, &[7, 0]), (0x0800, &[1, 1])];
        asker.send(FIND_CONTEXT, &bare, None).await;
        assert_eq!(asker.next().await.unwrap().status(), 0xA900);
        door.close().await;
    })
    .await;
}
