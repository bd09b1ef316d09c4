//! The socket over TCP, with a client that another hand has written, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod resume;
mod rights;
mod support;

use std::sync::Arc;
use std::time::Duration;

use clinical::id::ClinicId;
use clinical::role::Role;
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use gate::socket::{Hears, Kinds, SocketLimits};
use gate::testing::TOKEN;
use gate::{Caller, Problem};
use serde_json::{Value, json};
use storage::records::user::User;
use storage::testing::{count, on_both};
use support::{Client, Close, Service, person, tell};
use tokio_tungstenite::tungstenite::{Bytes, Message};

const CLINIC: ClinicId = ClinicId::DEFAULT;
const SOON: Duration = Duration::from_secs(5);

fn quick() -> SocketLimits {
    SocketLimits { authenticate: Duration::from_millis(300), ..SocketLimits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_known_by_its_first_message_or_by_its_header() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let (ada, token) = person(&service.app, Role::Doctor).await;
        for path in ["/ws", "/api/ws"] {
            let mut client = Client::connect(&service, path, None).await;
            client.say(json!({"type": "authenticate", "token": token})).await;
            let greeted = client.next().await;
            assert_eq!(greeted["type"], "authenticated", "{greeted}");
            assert_eq!(greeted["data"]["userId"], json!(ada));
            assert_eq!(greeted["data"]["clinicIds"], json!([CLINIC]));
        }
        let mut client = Client::connect(&service, "/ws", Some(&token)).await;
        assert_eq!(client.next().await["data"]["userId"], json!(ada));
        tell(&db, &[ada], 1).await;
        let told = client.next().await;
        assert_eq!((&told["type"], &told["data"]["n"]), (&json!("notification"), &json!(1)));
        assert!(told["eventId"].is_string() && told["id"].is_string(), "{told}");
        let mut administrator = Client::connect(&service, "/ws", Some(TOKEN)).await;
        assert_eq!(administrator.next().await["data"]["userId"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_no_good_token_in_time_is_not_let_in() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let mut silent = Client::connect(&service, "/ws", None).await;
        assert_eq!(silent.close().await, Close::With(4401));
        let mut wrong = Client::connect(&service, "/ws", None).await;
        wrong.say(json!({"type": "authenticate", "token": "nobody's"})).await;
        assert_eq!(wrong.next().await["data"]["code"], "token-invalid");
        assert_eq!(wrong.close().await, Close::With(4401));
        let mut rude = Client::connect(&service, "/ws", None).await;
        rude.say(json!({"type": "chat_message", "text": "hello"})).await;
        assert_eq!(rude.next().await["data"]["code"], "not-authenticated");
        assert_eq!(rude.close().await, Close::With(4401));
        assert_eq!(Client::refused(&service, "/ws", "nobody's").await, 401);
        assert_eq!(service.sockets.count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_request_is_told_that_the_path_is_a_websocket() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let answer = gate::testing::get(&service.router, "/ws").await;
        assert_eq!(answer.problem(), (400, "not-a-websocket".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_tells_arrives() {
    // Over SQLite the other process is a second handle of one file, found by looking.
    on_both(async |db| {
        let (here, there) = (
            Service::over(&db, quick(), Kinds::default()).await,
            Service::over(&db, quick(), Kinds::default()).await,
        );
        let (ada, token) = person(&here.app, Role::Doctor).await;
        let mut client = Client::entered(&there, &token).await;
        tell(&db, &[ada], 7).await;
        assert_eq!(client.next().await["data"]["n"], 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_what_is_told_to_another() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let (ada, of_ada) = person(&service.app, Role::Doctor).await;
        let (eve, of_eve) = person(&service.app, Role::Patient).await;
        let (mut ada_client, mut eve_client) =
            (Client::entered(&service, &of_ada).await, Client::entered(&service, &of_eve).await);
        tell(&db, &[ada], 1).await;
        tell(&db, &[eve], 2).await;
        tell(&db, &[ada, eve], 3).await;
        assert_eq!(ada_client.numbers(2).await, [1, 3]);
        assert_eq!(eve_client.numbers(2).await, [2, 3]);
    })
    .await;
}

/// RFC 6455, section 7.4.1: 1009 is «a message that is too big for it to process».
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_ten_megabytes_ends_the_connection_with_1009() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let (_, token) = person(&service.app, Role::Doctor).await;
        let mut client = Client::entered(&service, &token).await;
        // The server may hang up while this is still being sent.
        let _ = client.stream.send(Message::Text("x".repeat(10 << 20).into())).await;
        assert_eq!(client.close().await, Close::With(1009));
        let mut client = Client::entered(&service, &token).await;
        client.stream.send(Message::Binary(Bytes::from_static(b"\0"))).await.unwrap();
        assert_eq!(client.close().await, Close::With(1003));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_messages_is_refused_and_then_ended() {
    on_both(async |db| {
        let limits = SocketLimits { messages_per_second: 1, ..quick() };
        let service = Service::over(&db, limits, Kinds::default()).await;
        let (_, token) = person(&service.app, Role::Doctor).await;
        let mut client = Client::entered(&service, &token).await;
        for number in 0..3 {
            client.say(json!({"type": "ping", "id": number})).await;
        }
        let answers = [client.next().await, client.next().await, client.next().await];
        assert_eq!((&answers[0]["type"], &answers[0]["replyTo"]), (&json!("pong"), &json!(0)));
        assert_eq!(answers[2]["data"]["code"], "too-many-messages");
        for _ in 0..300 {
            if client.stream.send(Message::Text(r#"{"type":"ping"}"#.into())).await.is_err() {
                break;
            }
        }
        assert_eq!(client.close().await, Close::With(1008));
    })
    .await;
}

struct Rename;

impl Hears for Rename {
    fn hear<'a>(&'a self, caller: &'a Caller, data: Value) -> BoxFuture<'a, Result<Value, Problem>> {
        Box::pin(async move {
            match data["room"].as_str() {
                Some(room) => Ok(json!({"room": room, "clinic": caller.clinic})),
                None => Err(Problem::bad_request("no-room", "name a room")),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugged_type_is_heard_with_its_permission_and_written_down_and_others_have_a_stable_refusal() {
    on_both(async |db| {
        let kinds = Kinds::default().plug("join_room", "message:create".parse().unwrap(), Arc::new(Rename));
        let service = Service::over(&db, quick(), kinds).await;
        let (_, doctor) = person(&service.app, Role::Doctor).await;
        let (_, auditor) = person(&service.app, Role::SystemAuditor).await;
        let mut client = Client::entered(&service, &doctor).await;
        let before = count(&db, "audit_trail").await;
        client.say(json!({"type": "join_room", "id": "1", "clinicId": CLINIC, "data": {"room": "a"}})).await;
        let answer = client.next().await;
        assert_eq!(answer["data"], json!({"room": "a", "clinic": CLINIC}));
        assert_eq!((&answer["type"], &answer["replyTo"]), (&json!("join_room"), &json!("1")));
        assert_eq!(count(&db, "audit_trail").await, before + 1);
        for (message, code) in [
            (json!({"type": "join_room"}), "no-room"),
            (json!({"type": "chat_message"}), "type-not-available"),
            (json!({"type": "user_online"}), "type-not-yours"),
            (json!({"type": "nonsense"}), "unknown-type"),
            (json!({"type": "join_room", "clinicId": ClinicId::new()}), "not-found"),
            (json!({"type": "authenticate", "token": doctor}), "authenticated-already"),
            (json!("text"), "invalid-message"),
        ] {
            client.say(message.clone()).await;
            assert_eq!(client.next().await["data"]["code"], code, "{message}");
        }
        let mut other = Client::entered(&service, &auditor).await;
        other.say(json!({"type": "join_room", "data": {"room": "a"}})).await;
        assert_eq!(other.next().await["data"]["code"], "not-allowed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_learn_who_comes_and_goes_and_patients_do_not() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let (_, nurse) = person(&service.app, Role::Nurse).await;
        let (ada, doctor) = person(&service.app, Role::Doctor).await;
        let (eve, patient) = person(&service.app, Role::Patient).await;
        let mut watching = Client::entered(&service, &nurse).await;
        assert_eq!(watching.next_of_all().await["type"], "user_online", "herself");
        let mut of_eve = Client::entered(&service, &patient).await;
        let came = watching.next_of_all().await;
        assert_eq!((&came["type"], &came["data"]["userId"]), (&json!("user_online"), &json!(eve)));
        let coming = Client::entered(&service, &doctor).await;
        assert_eq!(watching.next_of_all().await["data"]["userId"], json!(ada));
        watching.say(json!({"type": "presence", "userIds": [ada, eve, clinical::id::UserId::new()]})).await;
        assert_eq!(watching.next_of_all().await["data"]["online"].as_array().unwrap().len(), 2);
        drop(coming);
        let went = watching.next_of_all().await;
        assert_eq!((&went["type"], &went["data"]["userId"]), (&json!("user_offline"), &json!(ada)));
        of_eve.say(json!({"type": "presence", "userIds": [ada]})).await;
        assert_eq!(
            of_eve.next_of_all().await["data"]["code"],
            "not-allowed",
            "and nothing was told before it"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_sign_in_ends_its_connection_and_a_silent_client_is_dropped() {
    on_both(async |db| {
        let limits = SocketLimits { heartbeat: Duration::from_millis(200), ..quick() };
        let service = Service::over(&db, limits, Kinds::default()).await;
        let (ada, token) = person(&service.app, Role::Doctor).await;
        let mut client = Client::entered(&service, &token).await;
        let mut tx = db.begin().await.unwrap();
        User::disable(&mut tx, ada).await.unwrap();
        tx.commit().await.unwrap();
        service.app.authenticator.forget_user(ada);
        assert_eq!(client.close().await, Close::With(4401));

        let (_, token) = person(&service.app, Role::Doctor).await;
        let client = Client::entered(&service, &token).await;
        // It answers no ping, because nobody reads from it.
        let gone = async {
            while service.sockets.count() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, gone).await.expect("it is dropped");
        drop(client);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_service_stops_every_client_is_told_to_come_back() {
    on_both(async |db| {
        let service = Service::over(&db, quick(), Kinds::default()).await;
        let (_, token) = person(&service.app, Role::Doctor).await;
        let mut client = Client::entered(&service, &token).await;
        service.stop();
        assert_eq!(client.close().await, Close::With(1001));
        let left = client.stream.next().await;
        assert!(left.is_none_or(|read| read.is_err()));
    })
    .await;
}
