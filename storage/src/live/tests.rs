//! Messages to people, on both databases.

use std::time::Duration;

use clinical::clock::{Clock, SystemClock};
use clinical::id::{ClinicId, NotificationId, UserId};
use clinical::role::Role;
use serde_json::json;
use uuid::Uuid;

use super::inbox::Which;
use super::*;
use crate::db::Db;
use crate::plan::assert_reads_along;
use crate::records::member::{Member, Position};
use crate::records::user::User;
use crate::testing::{count, now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

async fn person(db: &Db, role: Role) -> UserId {
    let mut tx = db.begin().await.unwrap();
    let address = format!("{}@example.org", Uuid::new_v4()).parse().unwrap();
    let user = User::create(&mut tx, &address, "A person", None, now()).await.unwrap().user_id;
    Member::add(&mut tx, CLINIC, user, &Position::of(role), now()).await.unwrap();
    tx.commit().await.unwrap();
    user
}

fn listed<'a>(body: &'a serde_json::Value, dedupe_key: Option<&'a str>) -> NewMessage<'a> {
    NewMessage { kind: "notification", body, listing: Listing::Listed, dedupe_key }
}

async fn tell(db: &Db, to: To<'_>, number: i64, key: Option<&str>) -> Option<Said> {
    let mut tx = db.begin().await.unwrap();
    let body = json!({ "number": number });
    let said = say(&mut tx, CLINIC, to, &listed(&body, key), now()).await.unwrap();
    tx.commit().await.unwrap();
    said
}

async fn read_on(db: &Db, after_position: i64) -> Vec<Live> {
    after(&mut db.read().await.unwrap(), after_position, 1_000).await.unwrap()
}

#[tokio::test]
async fn a_message_goes_to_members_once_each_and_stands_unread_in_their_lists() {
    on_both(async |db| {
        let (ada, eve) = (person(&db, Role::Doctor).await, person(&db, Role::Nurse).await);
        let said = tell(&db, To::People(&[ada, UserId::new()]), 1, Some("invoice-1")).await.unwrap();
        assert_eq!(said.people, [ada], "who is no member is left out");
        assert_eq!(tell(&db, To::People(&[ada]), 1, Some("invoice-1")).await, None, "told already");
        let again = tell(&db, To::Everybody, 1, Some("invoice-1")).await.unwrap();
        assert_eq!(again.people, [eve], "only who has not heard it");
        assert_eq!(tell(&db, To::Role(Role::Nurse), 2, None).await.unwrap().people, [eve]);
        relay::place_all(&db).await.unwrap();

        let mut tx = db.begin().await.unwrap();
        assert_eq!(inbox::unread(&mut tx, CLINIC, eve).await.unwrap(), 2);
        let list = inbox::list(&mut tx, CLINIC, eve, Which::All, None, 9).await.unwrap();
        assert_eq!(list.iter().map(|it| it.body["number"].clone()).collect::<Vec<_>>(), [2, 1]);
        let older = Some(list[0].notification_id);
        assert_eq!(inbox::list(&mut tx, CLINIC, eve, Which::All, older, 9).await.unwrap(), list[1..]);
        let ids = [list[1].notification_id, NotificationId::new()];
        assert_eq!(inbox::mark(&mut tx, CLINIC, eve, &ids, now()).await.unwrap(), 1);
        let unread = inbox::list(&mut tx, CLINIC, eve, Which::Unread, None, 9).await.unwrap();
        assert_eq!(unread, list[..1]);
        assert_eq!(inbox::mark_all(&mut tx, CLINIC, eve, now()).await.unwrap(), 1);
        assert_eq!(inbox::unread(&mut tx, CLINIC, eve).await.unwrap(), 0);
        inbox::remove(&mut tx, CLINIC, eve, list[1].notification_id, now()).await.unwrap();
        let gone = inbox::remove(&mut tx, CLINIC, eve, list[1].notification_id, now()).await;
        assert!(matches!(gone, Err(DbError::NotFound)));
        assert_eq!(inbox::list(&mut tx, CLINIC, eve, Which::All, None, 9).await.unwrap().len(), 1);
        assert!(inbox::list(&mut tx, ClinicId::new(), eve, Which::All, None, 9).await.unwrap().is_empty());
        let of_both = inbox::people(&mut tx, CLINIC, again.notification_id, UserId(Uuid::nil()), 9).await;
        assert_eq!(of_both.unwrap(), [eve]);
        let elsewhere =
            inbox::people(&mut tx, ClinicId::new(), again.notification_id, UserId(Uuid::nil()), 9).await;
        assert_eq!(elsewhere.unwrap(), []);
        assert_eq!(not_told(&mut tx, CLINIC, Role::Doctor, "invoice-1").await.unwrap(), []);
        assert_eq!(not_told(&mut tx, CLINIC, Role::Doctor, "invoice-2").await.unwrap(), [ada]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_told_of_a_change_that_was_not_made() {
    on_both(async |db| {
        let ada = person(&db, Role::Doctor).await;
        let mut tx = db.begin().await.unwrap();
        say(&mut tx, CLINIC, To::People(&[ada]), &listed(&json!({}), None), now()).await.unwrap();
        drop(tx);
        relay::place_all(&db).await.unwrap();
        assert_eq!(read_on(&db, 0).await, []);
        assert_eq!(count(&db, "live_recipients").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_the_positions_sees_every_message_once_while_many_tell() {
    on_both(async |db| {
        let ada = person(&db, Role::Doctor).await;
        let mut tellers = tokio::task::JoinSet::new();
        for teller in 0..6_i64 {
            let db = db.clone();
            tellers.spawn(async move {
                for number in 0..20_i64 {
                    let mut tx = db.begin().await.unwrap();
                    let body = json!({ "number": teller * 100 + number });
                    say(&mut tx, CLINIC, To::People(&[ada]), &listed(&body, None), now()).await.unwrap();
                    if number % 7 == teller {
                        drop(tx);
                    } else {
                        tx.commit().await.unwrap();
                    }
                }
            });
        }
        let (mut seen, mut position) = (Vec::new(), 0);
        loop {
            let is_over = tellers.is_empty();
            relay::place_all(&db).await.unwrap();
            for live in read_on(&db, position).await {
                assert!(live.position > position);
                position = live.position;
                seen.push(live.body["number"].as_i64().unwrap());
            }
            if is_over {
                break;
            }
            while let Some(done) = tellers.try_join_next() {
                done.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let committed = count(&db, "live_messages").await;
        assert_eq!(seen.len() as i64, committed);
        let whole = Gap::of(&mut db.read().await.unwrap(), 0, position).await.unwrap();
        let of_ada = of_person(&mut db.read().await.unwrap(), &[CLINIC], ada, whole, 1_000).await.unwrap();
        let of_ada: Vec<_> = of_ada.iter().map(|live| live.body["number"].as_i64().unwrap()).collect();
        assert_eq!(of_ada, seen, "a person finds the same in the same order");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len() as i64, committed, "none was seen twice");
    })
    .await;
}

#[tokio::test]
async fn a_gap_holds_what_was_told_to_the_person_in_it_and_nothing_else() {
    on_both(async |db| {
        let (ada, eve) = (person(&db, Role::Doctor).await, person(&db, Role::Nurse).await);
        for number in 0..4 {
            tell(&db, To::People(&[if number % 2 == 0 { ada } else { eve }]), number, None).await;
        }
        let mut tx = db.begin().await.unwrap();
        whisper(&mut tx, CLINIC, Hearers::People(&[ada]), "typing_start", &json!({}), now()).await.unwrap();
        tx.commit().await.unwrap();
        relay::place_all(&db).await.unwrap();
        let all = read_on(&db, 0).await;
        assert_eq!(all.len(), 5);
        assert_eq!((all[4].people.as_slice(), all[4].is_fleeting), ([ada].as_slice(), true));
        let mut read = db.read().await.unwrap();
        assert_eq!(last(&mut read).await.unwrap(), all[4].position);
        let gap = Gap::of(&mut read, all[0].position, all[4].position).await.unwrap();
        let found = of_person(&mut read, &[CLINIC], ada, gap, 9).await.unwrap();
        assert_eq!(
            found,
            all[2..3],
            "neither what is before it, nor what is Eve's, nor what was for then alone"
        );
        assert_eq!(of_person(&mut read, &[ClinicId::new()], ada, gap, 9).await.unwrap(), []);
        assert_eq!(of_person(&mut read, &[CLINIC], ada, gap.behind(&all[2]), 9).await.unwrap(), []);
        let none = Gap::of(&mut read, all[4].position, all[4].position).await.unwrap();
        assert_eq!(of_person(&mut read, &[CLINIC], ada, none, 9).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn what_a_person_took_out_of_their_list_is_not_found_when_they_come_back() {
    on_both(async |db| {
        let ada = person(&db, Role::Doctor).await;
        let gone = tell(&db, To::People(&[ada]), 1, Some("k")).await.unwrap().notification_id;
        tell(&db, To::People(&[ada]), 2, None).await;
        relay::place_all(&db).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        inbox::remove(&mut tx, CLINIC, ada, gone, now()).await.unwrap();
        let up_to = last(&mut tx).await.unwrap();
        let whole = Gap::of(&mut tx, 0, up_to).await.unwrap();
        let found = of_person(&mut tx, &[CLINIC], ada, whole, 9).await.unwrap();
        assert_eq!(found.iter().map(|live| live.body["number"].clone()).collect::<Vec<_>>(), [2]);
        assert_eq!(inbox::mark(&mut tx, CLINIC, ada, &[gone], now()).await.unwrap(), 0);
        assert!(matches!(inbox::find(&mut tx, CLINIC, ada, gone).await, Err(DbError::NotFound)));
        tx.commit().await.unwrap();
        assert_eq!(tell(&db, To::People(&[ada]), 1, Some("k")).await, None, "nor told again");
    })
    .await;
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_what_is_fleeting_sooner() {
    on_both(async |db| {
        // Identifiers hold the time of the machine: here the one counts as well as the other.
        let now = SystemClock.now();
        let ada = person(&db, Role::Doctor).await;
        let mut tx = db.begin().await.unwrap();
        say(&mut tx, CLINIC, To::People(&[ada]), &listed(&json!({}), None), now).await.unwrap();
        whisper(&mut tx, CLINIC, Hearers::Staff, "user_online", &json!({}), now).await.unwrap();
        tx.commit().await.unwrap();
        relay::place_all(&db).await.unwrap();
        let (year, hour) = (TimeDelta::days(365), TimeDelta::hours(1));
        let mut tx = db.begin().await.unwrap();
        let later = now + TimeDelta::hours(2);
        assert_eq!(forget(&mut tx, later - year, later - hour, 9).await.unwrap(), 1);
        assert_eq!(inbox::unread(&mut tx, CLINIC, ada).await.unwrap(), 1);
        let later = now + TimeDelta::days(366);
        assert_eq!(forget(&mut tx, later - year, later - hour, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(count(&db, "live_recipients").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_person_is_there_while_one_living_process_says_so() {
    on_both(async |db| {
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        let (ada, eve) = (UserId::new(), UserId::new());
        let mut tx = db.begin().await.unwrap();
        assert!(presence::lives(&mut tx, here, now()).await.unwrap());
        assert!(presence::lives(&mut tx, there, now()).await.unwrap());
        assert_eq!(presence::came(&mut tx, here, &[ada, eve], now()).await.unwrap(), [ada, eve]);
        assert_eq!(presence::came(&mut tx, there, &[ada], now()).await.unwrap(), [], "she was there already");
        assert_eq!(presence::went(&mut tx, here, &[ada], now()).await.unwrap(), [], "she is there still");
        assert_eq!(presence::online(&mut tx, &[ada, eve], now()).await.unwrap().len(), 2);
        let later = now() + presence::ALIVE + TimeDelta::seconds(1);
        assert!(!presence::lives(&mut tx, here, later).await.unwrap(), "it is known");
        assert_eq!(
            presence::online(&mut tx, &[ada, eve], later).await.unwrap(),
            [eve],
            "that process is gone"
        );
        assert_eq!(presence::bury(&mut tx, later).await.unwrap(), [ada]);
        assert!(presence::lives(&mut tx, there, later).await.unwrap(), "it was buried");
        assert_eq!(presence::went(&mut tx, here, &[eve], later).await.unwrap(), [eve]);
        presence::ends(&mut tx, here).await.unwrap();
        presence::ends(&mut tx, there).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&db, "live_processes").await, 0);
    })
    .await;
}

/// Two pools over one schema are two processes.
#[tokio::test]
async fn another_process_is_woken_for_a_message() {
    let url = crate::testing::fresh_postgres_url().await;
    let (ours, theirs) = (Db::open(&url).await.unwrap(), Db::open(&url).await.unwrap());
    ours.migrate().await.unwrap();
    let ada = person(&ours, Role::Doctor).await;
    let mut ear = theirs.bells().ear(crate::bell::Bell::Live);
    let listening = tokio::spawn(async move { crate::bell::listen(&theirs).await });
    ear.rung().await;
    tell(&ours, To::People(&[ada]), 1, None).await;
    relay::place_all(&ours).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), ear.rung()).await.expect("woken");
    listening.abort();
}

#[tokio::test]
async fn lists_are_read_along_their_indexes() {
    on_both(async |db| {
        let user = UserId::new();
        let key = ["live_recipients_pkey", "sqlite_autoindex_live_recipients_1", "live_recipients_unread"];
        for (which, indexes) in [(Which::All, &key[..]), (Which::Unread, &key[2..])] {
            assert_reads_along(&db, indexes, async |conn: &mut Conn| {
                inbox::list(conn, CLINIC, user, which, None, 9).await.unwrap();
            })
            .await;
        }
        assert_reads_along(&db, &["live_recipients_by_message"], async |conn: &mut Conn| {
            let (id, first) = (NotificationId::new(), UserId(Uuid::nil()));
            inbox::people(conn, CLINIC, id, first, 9).await.unwrap();
        })
        .await;
    })
    .await;
}
