//! Networks over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use clinical::id::ClinicId;
use clinical::imaging::ReviewState;
use clinical::job::{Job, Queue};
use clinical::role::Role;
use gate::testing::{Answer, app, get, post_json, request, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Method, header};
use models::{ReferenceVectors, Registry};
use networks_house::NetworksState;
use serde_json::{Value, json};
use storage::archive::Archive;
use storage::db::Db;
use storage::queue::{self, QueueLimits};
use storage::records::analysis::{Analysis, NewAnalysis};
use storage::records::clinic::Clinic;
use storage::records::finding::{Finding, Review};
use storage::records::member::Position;
use storage::records::network::{StoredNetwork, weights_key};
use storage::testing::{instance_facts, now, on_both, place_of, scored};
use tempfile::TempDir;

const CLINIC: ClinicId = ClinicId::DEFAULT;
const CARD: &str = include_str!("../../../models/cards/pneumonia28.toml");
const WEIGHTS: &[u8] = include_bytes!("../../../models/weights/pneumonia28.onnx");

struct House {
    router: Router,
    app: App,
    _folders: [TempDir; 2],
}

fn house(db: &Db) -> House {
    let (app, folder) = app(db, HttpLimits::default(), now());
    let spool = tempfile::tempdir().unwrap();
    let registry = Arc::new(Registry::built_in());
    let state = NetworksState::new(app.clone(), registry, spool.path().to_owned());
    House { router: layers(networks_house::routes(state), app.clone()), app, _folders: [folder, spool] }
}

/// The small chest network under another name.
fn card(version: &str) -> String {
    CARD.replacen("name = \"pneumonia28\"", "name = \"mine\"", 1).replacen(
        "version = \"1.0.0\"",
        &format!("version = \"{version}\""),
        1,
    )
}

impl House {
    async fn post(&self, path: &str, body: Value) -> Answer {
        post_json(&self.router, path, &body).await
    }

    async fn put(&self, path: &str, body: &[u8]) -> Answer {
        let request = request(Method::PUT, path).header(header::CONTENT_TYPE, "application/octet-stream");
        send(&self.router, request.body(Body::from(body.to_vec())).unwrap()).await
    }

    /// The states of a name's versions, in the caller's clinic.
    async fn states(&self, name: &str) -> Vec<String> {
        let all = get(&self.router, "/api/models").await.json();
        let of_name = all.as_array().unwrap().iter().filter(|it| it["name"] == name);
        of_name.map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }

    /// A network that has proved itself, as a worker would write it down.
    async fn proved(&self, version: &str) {
        assert_eq!(self.post("/api/models", json!({"card": card(version)})).await.status.as_u16(), 201);
        let path = format!("/api/models/mine/versions/{version}/weights");
        assert_eq!(self.put(&path, WEIGHTS).await.status.as_u16(), 202);
        let mut tx = self.app.db.begin().await.unwrap();
        let row = StoredNetwork::named(&mut tx, "mine", version).await.unwrap().unwrap();
        StoredNetwork::judged(&mut tx, row.network_id, Ok("runs"), now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_card_comes_first_then_its_weights_and_a_job_that_proves_both() {
    on_both(async |db| {
        let house = house(&db);
        let registry = Registry::built_in();
        let reference = ReferenceVectors::of(registry.get("pneumonia28").unwrap()).unwrap();
        let new = json!({"card": card("1.0.0"), "reference": reference});
        let added = house.post("/api/models", new.clone()).await;
        assert_eq!(added.status.as_u16(), 201, "{:?}", added.body);
        let added = added.json();
        assert_eq!((&added["state"], &added["proof"]), (&json!("draft"), &json!("no-weights")));
        assert_eq!(house.post("/api/models", new).await.problem(), (409, "network-exists".to_owned()));

        let path = "/api/models/mine/versions/1.0.0/weights";
        assert_eq!(house.put(path, b"other bytes").await.problem(), (422, "wrong-hash".to_owned()));
        let sent = house.put(path, WEIGHTS).await;
        assert_eq!((sent.status.as_u16(), &sent.json()["proof"]), (202, &json!("waiting")));
        let mut rows = db.read().await.unwrap();
        let row = StoredNetwork::named(&mut rows, "mine", "1.0.0").await.unwrap().unwrap();
        let reference = StoredNetwork::reference(&mut rows, row.network_id).await.unwrap();
        assert!(reference.is_some_and(|json| json.contains("ONNX Runtime")));
        drop(rows);
        assert_eq!(house.app.archive.get(&weights_key(&row.sha256)).await.unwrap(), WEIGHTS);
        let claimed =
            queue::claim_from(&db, Queue::Imaging, QueueLimits::default(), now()).await.unwrap().unwrap();
        assert_eq!(claimed.job, Job::ProveNetwork { network_id: row.network_id });

        let early = house.post("/api/models/mine/state", json!({"state": "active"})).await;
        assert_eq!(early.problem(), (409, "network-not-proved".to_owned()));
        assert_eq!(house.put("/api/models/nobody/versions/1/weights", WEIGHTS).await.problem().0, 404);
    })
    .await;
}

#[tokio::test]
async fn a_card_that_is_none_is_refused_with_what_to_mend() {
    on_both(async |db| {
        let house = house(&db);
        let cases = [
            (card("1.0.0").replacen("licence", "licnce", 1), "card-unreadable", "did you mean `licence`?"),
            (card("1.0.0").replacen("schema = 2", "schema = 1", 1), "card-schema", "set schema = 2"),
            (card("1.0.0").replacen("threshold = 0.5", "threshold = 5.0", 1), "card-invalid", "0.0 to 1.0"),
        ];
        for (card, code, hint) in cases {
            let refused = house.post("/api/models", json!({"card": card})).await;
            assert_eq!(refused.problem(), (422, code.to_owned()));
            assert!(refused.json()["detail"].as_str().unwrap().contains(hint), "{:?}", refused.body);
        }
        let registry = Registry::built_in();
        let other = ReferenceVectors::of(registry.get("pneumonia224").unwrap()).unwrap();
        let misfit = house.post("/api/models", json!({"card": card("1.0.0"), "reference": other})).await;
        assert_eq!(misfit.problem(), (422, "reference-misfit".to_owned()));
        let shipped = house.post("/api/models", json!({"card": CARD})).await;
        assert_eq!(shipped.problem(), (409, "network-exists".to_owned()));
        assert_eq!(house.states("mine").await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_state_is_changed_and_the_change_undone() {
    on_both(async |db| {
        let house = house(&db);
        house.proved("1.0.0").await;
        house.proved("2.0.0").await;
        assert_eq!(
            house.put("/api/models/mine/versions/2.0.0/weights", WEIGHTS).await.problem(),
            (409, "network-proved".to_owned())
        );
        let everywhere = json!({"state": "active", "version": "1.0.0", "everywhere": true});
        assert_eq!(house.post("/api/models/mine/state", everywhere).await.status.as_u16(), 200);
        assert_eq!(house.states("mine").await, ["active", "draft"]);
        let changed = house.post("/api/models/mine/state", json!({"state": "active"})).await.json();
        assert_eq!((&changed[0]["state"], &changed[1]["state"]), (&json!("retired"), &json!("active")));
        assert_eq!(house.states("pneumonia224").await, ["active"], "another name is left alone");

        let detail = get(&house.router, "/api/models/mine").await.json();
        assert_eq!(detail["versions"][1]["card"]["input"]["resize"], "area");
        assert_eq!(detail["changes"].as_array().unwrap().len(), 3, "the retirement is one, too");

        let back = house.post("/api/models/mine/rollback", json!({})).await;
        assert_eq!(back.status.as_u16(), 200);
        assert_eq!(house.states("mine").await, ["active", "draft"]);
        let nothing = house.post("/api/models/mine/rollback", json!({})).await;
        assert_eq!(nothing.problem(), (409, "nothing-to-undo".to_owned()));
        house.post("/api/models/mine/rollback", json!({"everywhere": true})).await;
        assert_eq!(house.states("mine").await, ["draft", "draft"]);
        assert_eq!(get(&house.router, "/api/models/nobody").await.problem().0, 404);
    })
    .await;
}

#[tokio::test]
async fn who_runs_a_clinic_changes_networks_there_and_adds_none() {
    on_both(async |db| {
        let house = house(&db);
        house.proved("1.0.0").await;
        let mut tx = db.begin().await.unwrap();
        let clinic = Clinic::create(&mut tx, "Theirs", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let token = token_of(&house.app, clinic, &Position::of(Role::ClinicAdmin)).await;
        let ask = async |method: Method, path: &str, body: Value| {
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(header::CONTENT_TYPE, "application/json");
            send(&house.router, request.body(Body::from(body.to_string())).unwrap()).await
        };
        let new = ask(Method::POST, "/api/models", json!({"card": card("9.0.0")})).await;
        assert_eq!(new.problem(), (403, "not-allowed".to_owned()));
        let all =
            ask(Method::POST, "/api/models/mine/state", json!({"state": "active", "everywhere": true})).await;
        assert_eq!(all.problem(), (403, "not-everywhere".to_owned()));
        let own = ask(Method::POST, "/api/models/mine/state", json!({"state": "active"})).await;
        assert_eq!((own.status.as_u16(), &own.json()[0]["state"]), (200, &json!("active")));
        assert_eq!(house.states("mine").await, ["draft"], "the administrator's clinic is another");
    })
    .await;
}

#[tokio::test]
async fn the_shadow_is_compared_with_what_was_shown() {
    on_both(async |db| {
        let house = house(&db);
        house.proved("1.0.0").await;
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        let instance = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let shown = scored(place.study_id, instance, "aa", 0.75);
        let shadow = NewAnalysis {
            network_name: "mine".to_owned(),
            network_version: "1.0.0".to_owned(),
            network_sha256: "dd".to_owned(),
            is_shadow: true,
            ..scored(place.study_id, instance, "aa", 0.25)
        };
        for run in [&shown, &shadow] {
            Analysis::record(&mut tx, CLINIC, run, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let report = get(&house.router, "/api/models/mine/comparison?version=1.0.0").await.json();
        assert_eq!((&report["analyses"], &report["abstentions"]), (&json!(1), &json!(0)));
        let against = &report["against"][0];
        assert_eq!((&against["name"], &against["images"]), (&json!("example"), &json!(1)));
        assert_eq!((&against["agreement"], &against["shownOnly"]), (&json!(0.0), &json!(1)));
        assert_eq!(against["meanDifference"], -0.5);
    })
    .await;
}

#[tokio::test]
async fn quality_is_that_of_the_callers_clinic_and_hides_small_counts_beyond_it() {
    on_both(async |db| {
        let house = house(&db);
        house.proved("1.0.0").await;
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        for (number, probability) in [(1, 0.75), (2, 0.25)] {
            let facts = instance_facts(&format!("1.2.3.1.{number}"), "aa");
            let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
            let run = NewAnalysis {
                network_name: "mine".to_owned(),
                network_version: "1.0.0".to_owned(),
                ..scored(place.study_id, instance, "aa", probability)
            };
            let id = Analysis::record(&mut tx, CLINIC, &run, now()).await.unwrap();
            let finding = &Finding::of_analysis(&mut tx, CLINIC, id).await.unwrap()[0];
            let review =
                Review { decision: ReviewState::Accepted, reviewer: "dr-test".into(), comment: None };
            Finding::review(&mut tx, CLINIC, finding.finding_id, &review, now()).await.unwrap();
        }
        let clinic = Clinic::create(&mut tx, "Theirs", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();

        let ours = get(&house.router, "/api/models/mine/quality").await.json();
        assert_eq!((&ours["version"], &ours["label"]), (&json!("1.0.0"), &json!("pneumonia")));
        let all = &ours["overall"];
        assert_eq!(
            (&all["images"], &all["reviewed"], &all["agreement"]),
            (&json!(2), &json!(2), &json!(1.0))
        );
        assert_eq!((&all["positiveRate"], &ours["byAge"][0]["group"]), (&json!(0.5), &json!("unknown")));
        assert_eq!(ours["byClinic"][0]["group"], json!(CLINIC));

        let every = get(&house.router, "/api/models/mine/quality?everywhere=true").await.json();
        assert_eq!(
            (&every["overall"]["reviewed"], &every["overall"]["agreement"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!((&every["byClinic"], &every["hiddenGroups"]), (&json!([]), &json!(3)));

        let token = token_of(&house.app, clinic, &Position::of(Role::ClinicAdmin)).await;
        let theirs = async |path: &str| {
            let request =
                http::Request::builder().uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
            send(&house.router, request.body(Body::empty()).unwrap()).await
        };
        assert_eq!(theirs("/api/models/mine/quality").await.json()["overall"]["images"], 0);
        let all = theirs("/api/models/mine/quality?everywhere=true").await;
        assert_eq!(all.problem(), (403, "not-everywhere".to_owned()));
        assert_eq!(get(&house.router, "/api/models/nobody/quality").await.problem().0, 404);
    })
    .await;
}

#[tokio::test]
async fn weights_outlive_the_sweep() {
    on_both(async |db| {
        let house = house(&db);
        house.proved("1.0.0").await;
        let archive: &Archive = &house.app.archive;
        archive.sweep(&db, now() + chrono::TimeDelta::days(9), chrono::TimeDelta::zero()).await.unwrap();
        let row =
            StoredNetwork::named(&mut db.read().await.unwrap(), "mine", "1.0.0").await.unwrap().unwrap();
        assert!(archive.get(&row.blob_key.unwrap()).await.is_ok());
    })
    .await;
}
