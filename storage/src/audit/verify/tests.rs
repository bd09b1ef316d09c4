//! Each way to falsify a trail, by an attacker who owns the database.

use super::*;
use crate::audit::heads::load;
use crate::audit::tests::{CLINIC, entry};
use crate::audit::{Keeper, seal_pending, write};
use crate::db::built_sql;
use crate::testing::{now, on_both};

const ROWS: i64 = 12;

/// Runs `text` as the database's owner does, who drops the triggers first.
pub(crate) async fn tamper(db: &Db, text: &str) {
    let mut tx = db.begin().await.unwrap();
    if db.engine() == "SQLite" {
        for trigger in ["audit_stays", "audit_is_fixed", "audit_is_sealed_once", "audit_is_never_replaced"] {
            built_sql(format!("DROP TRIGGER IF EXISTS {trigger}")).execute(&mut tx).await.unwrap();
        }
    } else {
        sql("ALTER TABLE audit_trail DISABLE TRIGGER USER").execute(&mut tx).await.unwrap();
    }
    built_sql(text.to_owned()).execute(&mut tx).await.unwrap();
    if db.engine() != "SQLite" {
        sql("ALTER TABLE audit_trail ENABLE TRIGGER USER").execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Exchanges two rows: with their hashes, or leaving the hashes in their places.
async fn exchange(db: &Db, (one, other): (i64, i64), with_hashes: bool) {
    let mut hashes = Vec::new();
    for seq in [one, other] {
        let hash = sql("SELECT hash FROM audit_trail WHERE seq = $1").bind(seq);
        hashes.push(hash.fetch_one::<String>(&mut db.read().await.unwrap()).await.unwrap());
    }
    for (from, to) in [(one, -1), (other, one), (-1, other)] {
        tamper(db, &format!("UPDATE audit_trail SET seq = {to} WHERE seq = {from}")).await;
    }
    if !with_hashes {
        for (seq, hash) in [one, other].iter().zip(hashes) {
            tamper(db, &format!("UPDATE audit_trail SET hash = '{hash}' WHERE seq = {seq}")).await;
        }
    }
}

/// A sealed and signed trail, falsified by `by`; what is found then.
async fn damages(by: impl AsyncFn(&Db)) -> Vec<Vec<Damage>> {
    let found = std::cell::RefCell::new(Vec::new());
    on_both(async |db| {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(folder.path()).unwrap();
        let mut tx = db.begin().await.unwrap();
        for micros in 0..ROWS {
            write(&mut tx, &entry(micros)).await.unwrap();
        }
        tx.commit().await.unwrap();
        seal_pending(&db).await.unwrap();
        keeper.keep(&db, now()).await.unwrap();
        by(&db).await;
        let report = check(&db, folder.path(), &keeper).await;
        assert_eq!(report.is_sound(), report.clinics[0].damages.is_empty());
        found.borrow_mut().extend(report.clinics.into_iter().map(|clinic| clinic.damages));
    })
    .await;
    found.into_inner()
}

async fn check(db: &Db, folder: &std::path::Path, keeper: &Keeper) -> Report {
    verify(db, &load(&folder.join(crate::audit::heads::HEADS_FILE), &keeper.public_key())).await.unwrap()
}

fn places(damages: &[Damage]) -> Vec<(&'static str, i64)> {
    let place = |damage: &Damage| match damage {
        Damage::Changed { seq, .. } => ("changed", *seq),
        Damage::Moved { seq, .. } => ("moved", *seq),
        Damage::Removed { from, .. } => ("removed", *from),
        Damage::Cut { from, .. } => ("cut", *from),
        Damage::Rewritten { seq, .. } => ("rewritten", *seq),
    };
    damages.iter().map(place).collect()
}

#[tokio::test]
async fn a_whole_trail_is_sound() {
    for found in damages(async |_| {}).await {
        assert_eq!(found, []);
    }
}

/// Every column counts, for the hash covers them all.
#[tokio::test]
async fn a_changed_row_is_named_whatever_was_changed() {
    let columns = [
        "actor_kind = 'system'",
        "actor_id = ''",
        "role = NULL",
        "session_id = NULL",
        "action = 'patient:list'",
        "record_id = ''",
        "patient_id = NULL",
        "route = 'GET /'",
        "address = '192.0.2.8'",
        "request_id = NULL",
        "outcome = 'nonsense'",
        "detail = '{}'",
        "happened_at = '2026-01-01T00:00:00+00:00'",
        "hash = 'odd'",
    ];
    let all = damages(async |db| {
        for (place, change) in columns.iter().enumerate().take(ROWS as usize - 1) {
            tamper(db, &format!("UPDATE audit_trail SET {change} WHERE seq = {}", place + 1)).await;
        }
    });
    for found in all.await {
        let expected: Vec<_> = (1..ROWS).map(|seq| ("changed", seq)).collect();
        assert_eq!(places(&found), expected);
    }
    for change in &columns[ROWS as usize - 1..] {
        for found in
            damages(async |db| tamper(db, &format!("UPDATE audit_trail SET {change} WHERE seq = 5")).await)
                .await
        {
            assert_eq!(places(&found), [("changed", 5)], "{change}");
        }
    }
}

#[tokio::test]
async fn a_removed_row_is_named() {
    for found in damages(async |db| tamper(db, "DELETE FROM audit_trail WHERE seq IN (1, 6, 7)").await).await
    {
        assert_eq!(found, [Damage::Removed { from: 1, to: 1 }, Damage::Removed { from: 6, to: 7 }]);
    }
}

/// The places behind a removed row are closed up so that no gap shows: the link is broken, and the end is short.
#[tokio::test]
async fn a_removed_row_is_found_also_when_the_places_are_closed_up() {
    let all = damages(async |db| {
        tamper(db, "DELETE FROM audit_trail WHERE seq = 6").await;
        for seq in 7..=ROWS {
            tamper(db, &format!("UPDATE audit_trail SET seq = {} WHERE seq = {seq}", seq - 1)).await;
        }
    });
    for found in all.await {
        assert_eq!(places(&found), [("changed", 6), ("cut", ROWS)]);
    }
}

#[tokio::test]
async fn exchanged_rows_are_named_and_their_neighbours_are_not() {
    for pair in [(4, 5), (2, 9), (1, 3)] {
        for with_hashes in [true, false] {
            for found in damages(async |db| exchange(db, pair, with_hashes).await).await {
                assert_eq!(places(&found), [("moved", pair.0), ("moved", pair.1)], "{pair:?} {with_hashes}");
                let Damage::Moved { belongs_at, .. } = found[0] else { panic!("{found:?}") };
                assert_eq!(belongs_at, Some(pair.1));
            }
        }
    }
}

#[tokio::test]
async fn a_cut_tail_is_found_by_either_head() {
    let cut = "DELETE FROM audit_trail WHERE seq > 9";
    for found in damages(async |db| tamper(db, cut).await).await {
        assert_eq!(found, [Damage::Cut { from: 10, to: ROWS, by: Claim::SignedHead }]);
    }
    let all = damages(async |db| {
        tamper(db, cut).await;
        tamper(db, "DELETE FROM audit_heads").await;
    });
    for found in all.await {
        assert_eq!(found, [Damage::Cut { from: 10, to: ROWS, by: Claim::SignedHead }]);
    }
    for found in damages(async |db| tamper(db, "DELETE FROM audit_trail").await).await {
        assert_eq!(found, [Damage::Cut { from: 1, to: ROWS, by: Claim::SignedHead }]);
    }
}

/// Without a secret in it, every hash behind a changed row can be computed anew; not the signed head.
#[tokio::test]
async fn a_chain_that_was_written_anew_is_found_by_its_signed_head() {
    let all = damages(async |db| {
        tamper(db, "UPDATE audit_trail SET action = 'patient:list' WHERE seq = 4").await;
        tamper(db, "UPDATE audit_trail SET seq = NULL, hash = NULL").await;
        tamper(db, "DELETE FROM audit_heads").await;
        assert_eq!(seal_pending(db).await.unwrap() as i64, ROWS);
    });
    for found in all.await {
        assert_eq!(found, [Damage::Rewritten { seq: ROWS, by: Claim::SignedHead }]);
    }
}

#[tokio::test]
async fn a_row_that_was_given_to_another_clinic_is_missed_and_found() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        for micros in 0..3 {
            write(&mut tx, &entry(micros)).await.unwrap();
        }
        tx.commit().await.unwrap();
        seal_pending(&db).await.unwrap();
        let other = if db.engine() == "SQLite" {
            "X'00000000000070008000000000000002'"
        } else {
            "'00000000-0000-7000-8000-000000000002'"
        };
        tamper(&db, &format!("UPDATE audit_trail SET clinic_id = {other}, seq = 1 WHERE seq = 2")).await;
        let report = verify(&db, &Signed::Checked(Vec::new())).await.unwrap();
        let found: Vec<_> = report.clinics.iter().map(|clinic| places(&clinic.damages)).collect();
        assert_eq!(found, [vec![("removed", 2)], vec![("changed", 1)]]);
    })
    .await;
}

#[tokio::test]
async fn an_unsealed_tail_is_named_and_is_no_damage() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        write(&mut tx, &entry(0)).await.unwrap();
        write(&mut tx, &entry(1)).await.unwrap();
        tx.commit().await.unwrap();
        let report = verify(&db, &Signed::Missing).await.unwrap();
        assert!(report.is_sound());
        let found = &report.clinics[0];
        assert_eq!((found.clinic_id, found.sealed, found.unsealed), (CLINIC, 0, 2));
        assert_eq!(found.unsealed_since, Some(now()));
        seal_pending(&db).await.unwrap();
        let report = verify(&db, &Signed::Missing).await.unwrap();
        assert!(!report.is_sound(), "sealed rows without a signed head: somebody took the file away");
        assert_eq!(report.clinics[0].unsealed, 0);
    })
    .await;
}

/// More odd rows than are compared at once, over more than one page: all are named or counted.
#[tokio::test]
async fn a_trail_that_is_all_wrong_is_told_in_few_words() {
    on_both(async |db| {
        let count = 1_300;
        let mut tx = db.begin().await.unwrap();
        for micros in 0..count {
            write(&mut tx, &entry(micros)).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(seal_pending(&db).await.unwrap() as i64, count);
        tamper(&db, "UPDATE audit_trail SET route = 'GET /'").await;
        let report = verify(&db, &Signed::Checked(Vec::new())).await.unwrap();
        let found = &report.clinics[0];
        assert_eq!((found.sealed, found.damages.len(), found.more_damages), (count, MOST_NAMED, 300));
    })
    .await;
}
