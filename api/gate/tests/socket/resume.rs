//! Who comes back gets what was told meanwhile: nothing lost, nothing twice.

use std::time::Duration;

use clinical::role::Role;
use gate::socket::{Kinds, SocketLimits};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use storage::db::Db;
use storage::testing::on_both;

use crate::support::{Client, Service, person, tell};

/// What happens to a client, one after the other.
#[derive(Debug, Clone)]
enum Happens {
    /// So many messages are told, one transaction each.
    Told(u8),
    /// The client reads so many messages.
    Reads(u8),
    /// The connection is cut, without a word.
    Cut,
    /// The client comes back to one of two processes.
    Back(bool),
}

fn day() -> impl Strategy<Value = Vec<Happens>> {
    let happens = prop_oneof![
        4 => (1..12_u8).prop_map(Happens::Told),
        3 => (1..6_u8).prop_map(Happens::Reads),
        2 => Just(Happens::Cut),
        3 => any::<bool>().prop_map(Happens::Back),
    ];
    proptest::collection::vec(happens, 1..16)
}

struct Reader<'s> {
    services: &'s [Service; 2],
    token: &'s str,
    client: Option<Client>,
    last_event: String,
    seen: Vec<i64>,
}

impl Reader<'_> {
    async fn come_back(&mut self, process: usize) {
        let client = Client::resumed(&self.services[process], self.token, &self.last_event).await;
        self.client = Some(client);
    }

    /// Reads until so many notifications were seen in all, where there is a connection; who is dropped for being slow
    /// comes back.
    async fn read_to(&mut self, all: usize) {
        while self.seen.len() < all {
            let Some(client) = &mut self.client else { return };
            let Some(message) = client.try_next().await else {
                self.come_back(0).await;
                continue;
            };
            if message["type"] == "notification" {
                self.seen.push(message["data"]["n"].as_i64().unwrap());
                self.last_event = message["eventId"].as_str().unwrap().to_owned();
            }
        }
    }
}

async fn live_through(db: &Db, day: &[Happens]) {
    let limits = || SocketLimits { queue: 4, ..SocketLimits::default() };
    let services = [
        Service::over(db, limits(), Kinds::default()).await,
        Service::over(db, limits(), Kinds::default()).await,
    ];
    let (ada, token) = person(&services[0].app, Role::Patient).await;
    let (other, _) = person(&services[0].app, Role::Patient).await;
    let mut first = Client::connect(&services[0], "/ws", Some(&token)).await;
    let last_event = first.next().await["data"]["lastEventId"].as_str().unwrap().to_owned();
    let mut reader =
        Reader { services: &services, token: &token, client: Some(first), last_event, seen: Vec::new() };
    let mut told = 0_i64;
    for happens in day {
        match happens {
            Happens::Told(count) => {
                for _ in 0..*count {
                    told += 1;
                    tell(db, &[ada], told).await;
                    tell(db, &[other], -1).await;
                }
            }
            Happens::Reads(count) => {
                reader.read_to((reader.seen.len() + usize::from(*count)).min(told as usize)).await;
            }
            Happens::Cut => reader.client = None,
            Happens::Back(process) => reader.come_back(usize::from(*process)).await,
        }
    }
    reader.come_back(1).await;
    reader.read_to(told as usize).await;
    assert_eq!(reader.seen, (1..=told).collect::<Vec<_>>());
    // Nothing comes behind what was told.
    tell(db, &[ada], 1_000).await;
    reader.read_to(told as usize + 1).await;
    assert_eq!(reader.seen.last(), Some(&1_000));
}

#[test]
fn whatever_happens_on_the_way_every_message_is_seen_once_and_in_order() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() });
    runner
        .run(&day(), |day| {
            runtime.block_on(on_both(async |db| live_through(&db, &day).await));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_page_is_resumed_and_an_event_that_nobody_was_shown_is_refused() {
    on_both(async |db| {
        let service = Service::over(&db, SocketLimits::default(), Kinds::default()).await;
        let (ada, token) = person(&service.app, Role::Patient).await;
        for number in 1..=230 {
            tell(&db, &[ada], number).await;
        }
        // Until the process has read them all, some would come as they are told.
        loop {
            let greeted = Client::connect(&service, "/ws", Some(&token)).await.next().await;
            if greeted["data"]["lastEventId"] == "230" {
                break;
            }
        }
        let mut client = Client::resumed(&service, &token, "0").await;
        assert_eq!(client.numbers(230).await, (1..=230).collect::<Vec<_>>());
        let done = client.next().await;
        assert_eq!((&done["type"], &done["data"]["count"]), (&json!("resumed"), &json!(230)));

        let mut client = Client::connect(&service, "/ws", None).await;
        client.say(json!({"type": "authenticate", "token": token, "lastEventId": "9000000000"})).await;
        assert_eq!(client.next().await["data"]["code"], "unknown-event");
        assert_eq!(client.next().await["type"], "authenticated");
        tell(&db, &[ada], 231).await;
        assert_eq!(client.numbers(1).await, [231], "what is told from now on comes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_dropped_and_finds_everything_when_it_comes_back() {
    on_both(async |db| {
        let limits = SocketLimits { queue: 8, ..SocketLimits::default() };
        let service = Service::over(&db, limits, Kinds::default()).await;
        let (ada, token) = person(&service.app, Role::Patient).await;
        let slow = Client::connect(&service, "/ws", Some(&token)).await;
        // More than the system's own buffers hold.
        let text = "x".repeat(60_000);
        let told = 400_i64;
        for number in 1..=told {
            let body = json!({"n": number, "text": text});
            let new = storage::live::NewMessage {
                kind: "notification",
                body: &body,
                listing: storage::live::Listing::Listed,
                dedupe_key: None,
            };
            let mut tx = db.begin().await.unwrap();
            let to = storage::live::To::People(&[ada]);
            storage::live::say(&mut tx, clinical::id::ClinicId::DEFAULT, to, &new, storage::testing::now())
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        let dropped = async {
            while service.sockets.count() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), dropped).await.expect("it is dropped");
        drop(slow);
        let mut back = Client::resumed(&service, &token, "0").await;
        assert_eq!(back.numbers(told as usize).await, (1..=told).collect::<Vec<_>>());
    })
    .await;
}
