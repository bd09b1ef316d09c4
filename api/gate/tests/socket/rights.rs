//! What a person may hear changes while they are connected.

use std::time::Duration;

use clinical::id::{ClinicId, UserId};
use clinical::role::Role;
use gate::socket::{Kinds, SocketLimits};
use gate::testing::TOKEN;
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::live;
use storage::testing::on_both;

use crate::support::{Client, Close, Service, person, tell};

/// Sets the state of the one clinic there is.
async fn set_state(db: &Db, service: &Service, state: &str) {
    let mut tx = db.begin().await.unwrap();
    sql("UPDATE clinics SET state = $1").bind(state).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    service.app.suspensions.forget();
}

/// Waits until the service has read the notification of this number.
async fn read_by(db: &Db, service: &Service, number: i64) {
    let position = loop {
        let told = live::after(&mut db.read().await.unwrap(), 0, 1_000).await.unwrap();
        if let Some(live) = told.iter().find(|live| live.body["n"] == number) {
            break live.position;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    loop {
        let greeted = Client::connect(service, "/ws", Some(TOKEN)).await.next().await;
        let read: i64 = greeted["data"]["lastEventId"].as_str().unwrap().parse().unwrap();
        if read >= position {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn resumes(db: &Db) -> i64 {
    let count = sql("SELECT count(*) FROM audit_trail WHERE route = 'WS resume'");
    count.fetch_one(&mut db.read().await.unwrap()).await.unwrap()
}

async fn back(service: &Service, token: &str, last_event: &str) -> (Vec<i64>, Value) {
    let mut client = Client::resumed(service, token, last_event).await;
    let mut numbers = Vec::new();
    loop {
        let message = client.next().await;
        match message["data"]["n"].as_i64() {
            Some(number) => numbers.push(number),
            None => return (numbers, message),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_clinic_is_silent_and_what_it_told_is_found_and_written_down_later() {
    on_both(async |db| {
        let service = Service::over(&db, SocketLimits::default(), Kinds::default()).await;
        let (ada, token) = person(&service.app, Role::Patient).await;
        let mut client = Client::entered(&service, &token).await;
        tell(&db, &[ada], 1).await;
        let first = client.next().await;
        let last_event = first["eventId"].as_str().unwrap();
        set_state(&db, &service, "suspended").await;
        tell(&db, &[ada], 2).await;
        read_by(&db, &service, 2).await;
        client.say(json!({"type": "ping"})).await;
        assert_eq!(client.next().await["type"], "pong", "nothing was told before it");
        let (numbers, resumed) = back(&service, &token, last_event).await;
        assert_eq!((numbers, &resumed["data"]["count"]), (Vec::new(), &json!(0)));
        assert_eq!(resumes(&db).await, 0);
        set_state(&db, &service, "active").await;
        tell(&db, &[ada], 3).await;
        assert_eq!(client.numbers(1).await, [3]);
        let (numbers, resumed) = back(&service, &token, last_event).await;
        assert_eq!((numbers, &resumed["type"]), (vec![2, 3], &json!("resumed")));
        assert_eq!(resumes(&db).await, 1, "as every read");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_role_has_changed_comes_back_with_what_they_may_now() {
    on_both(async |db| {
        let limits = SocketLimits { heartbeat: Duration::from_millis(200), ..SocketLimits::default() };
        let service = Service::over(&db, limits, Kinds::default()).await;
        let (ada, token) = person(&service.app, Role::Doctor).await;
        let mut client = Client::entered(&service, &token).await;
        let mut tx = db.begin().await.unwrap();
        let change = "UPDATE memberships SET role = $2 WHERE user_id = $1";
        sql(change).bind(ada).bind(Role::Patient.as_str()).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        service.app.authenticator.forget_user(ada);
        assert_eq!(client.close().await, Close::With(1008));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_taken_for_dead_says_again_who_is_there() {
    on_both(async |db| {
        let service = Service::over(&db, SocketLimits::default(), Kinds::default()).await;
        let (_, nurse) = person(&service.app, Role::Nurse).await;
        let (ada, of_ada) = person(&service.app, Role::Doctor).await;
        let mut watching = Client::entered(&service, &nurse).await;
        let _ada = Client::entered(&service, &of_ada).await;
        let hear_of = async |watching: &mut Client, user: UserId| loop {
            let message = watching.next_of_all().await;
            if message["type"] == "user_online" && message["data"]["userId"] == json!(user) {
                break;
            }
        };
        hear_of(&mut watching, ada).await;
        let mut tx = db.begin().await.unwrap();
        sql("DELETE FROM live_presence").execute(&mut tx).await.unwrap();
        sql("DELETE FROM live_processes").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        // Who comes makes the process write.
        let (_, of_eve) = person(&service.app, Role::Patient).await;
        let _eve = Client::entered(&service, &of_eve).await;
        hear_of(&mut watching, ada).await;
        let asked = json!({"type": "presence", "clinicId": ClinicId::DEFAULT, "userIds": [ada]});
        watching.say(asked).await;
        loop {
            let answer = watching.next_of_all().await;
            if answer["type"] == "presence" {
                break assert_eq!(answer["data"]["online"], json!([ada]));
            }
        }
    })
    .await;
}
