//! Findings over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use axum::Router;
use clinical::event::{Event, Reviewed};
use clinical::id::{AnalysisId, ClinicId, FindingId};
use gate::testing::{app, get, post_json};
use gate::{HttpLimits, layers};
use serde_json::json;
use storage::db::Db;
use storage::outbox::told;
use storage::records::analysis::{Analysis, NewAnalysis};
use storage::records::finding::Finding;
use storage::testing::{instance_facts, now, on_both, place_of, scored};

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// The house over `db`, with so many analyses of one finding each.
async fn house(db: &Db, analyses: usize) -> (Router, tempfile::TempDir) {
    let mut tx = db.begin().await.unwrap();
    let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
    for number in 0..analyses {
        let facts = instance_facts(&format!("1.2.3.1.{number}"), "aa");
        let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
        let run = scored(place.study_id, instance, "aa", 0.75);
        Analysis::record(&mut tx, CLINIC, &run, now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let (app, folder) = app(db, HttpLimits::default(), now());
    (layers(findings::routes(app.clone()), app), folder)
}

#[tokio::test]
async fn a_review_closes_the_finding_and_is_told() {
    on_both(async |db| {
        let (house, _folder) = house(&db, 1).await;
        let open = get(&house, "/api/findings?state=open").await.json();
        let id = open[0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/findings/{id}");
        assert_eq!(get(&house, &path).await.json(), open[0]);
        assert_eq!(open[0]["isPositive"], true, "0.75 is at or above 0.5");

        let word = json!({"decision": "accept", "comment": " clear "});
        let reviewed = post_json(&house, &format!("{path}/review"), &word).await;
        assert_eq!(reviewed.status.as_u16(), 200);
        let reviewed = reviewed.json();
        assert_eq!(reviewed["reviewState"], "accepted");
        assert_eq!(
            (&reviewed["comment"], &reviewed["reviewedBy"]),
            (&json!("clear"), &json!("administrator"))
        );
        assert_eq!(get(&house, &path).await.json(), reviewed);
        assert_eq!(get(&house, "/api/findings?state=open").await.json(), json!([]));
        let study = open[0]["studyId"].as_str().unwrap();
        let of_study = get(&house, &format!("/api/findings?studyId={study}&state=accepted")).await;
        assert_eq!(of_study.json(), json!([reviewed]));

        let mut rows = db.read().await.unwrap();
        let events = told(&mut rows, CLINIC, "finding_reviewed", 10).await.unwrap();
        let finding_id = id.parse().unwrap();
        assert_eq!(events.len(), 1);
        let review = Reviewed { study_id: study.parse().unwrap(), user_id: None, is_accepted: true };
        assert_eq!(events[0].event, Event::FindingReviewed { finding_id, review: Some(review) });
    })
    .await;
}

#[tokio::test]
async fn what_counted_for_a_finding_is_shown_once_it_is_there() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        let instance = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let run = scored(place.study_id, instance, "aa", 0.75);
        let analysis = Analysis::record(&mut tx, CLINIC, &run, now()).await.unwrap();
        let id = Finding::of_analysis(&mut tx, CLINIC, analysis).await.unwrap()[0].finding_id;
        tx.commit().await.unwrap();
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let house = layers(findings::routes(app.clone()), app.clone());
        let (seen, map, tinted) = (
            format!("/api/findings/{id}"),
            format!("/api/v1/findings/{id}/saliency"),
            format!("/api/v1/findings/{id}/overlay"),
        );
        assert_eq!(get(&house, &seen).await.json()["saliencyUrl"], json!(null));
        assert_eq!(get(&house, &map).await.status.as_u16(), 404);

        for (key, bytes) in [("map", "grey"), ("tinted", "colours")] {
            app.archive.put(key, [bytes.into()]).await.unwrap();
        }
        let mut tx = db.begin().await.unwrap();
        Finding::explain(&mut tx, CLINIC, id, "map", "tinted").await.unwrap();
        tx.commit().await.unwrap();
        let view = get(&house, &seen).await.json();
        assert_eq!((&view["saliencyUrl"], &view["overlayUrl"]), (&json!(map), &json!(tinted)));
        for (path, bytes) in [(&map, "grey"), (&tinted, "colours")] {
            let answer = get(&house, path).await;
            assert_eq!(answer.status.as_u16(), 200);
            assert_eq!(answer.headers["content-type"], "image/png");
            assert_eq!(answer.body, bytes);
        }
        let stranger = format!("/api/v1/findings/{}/saliency", FindingId::new());
        assert_eq!(get(&house, &stranger).await.status.as_u16(), 404);
    })
    .await;
}

#[tokio::test]
async fn findings_that_newer_ones_stand_in_for_are_listed_when_they_are_asked_for() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        let instance = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let first = scored(place.study_id, instance, "aa", 0.75);
        let newer = NewAnalysis { network_version: "2".into(), network_sha256: "dd".into(), ..first.clone() };
        for run in [&first, &newer] {
            Analysis::record(&mut tx, CLINIC, run, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let (app, _folder) = app(&db, HttpLimits::default(), now());
        let house = layers(findings::routes(app.clone()), app);
        let newest = get(&house, "/api/findings").await.json();
        assert_eq!(newest.as_array().unwrap().len(), 1);
        assert_eq!(newest[0]["supersededAt"], json!(null));
        let every = get(&house, "/api/findings?superseded=true").await.json();
        assert_eq!(every.as_array().unwrap().len(), 2);
        assert_eq!(every[1]["supersededAt"], json!(now()));
    })
    .await;
}

#[tokio::test]
async fn a_review_that_does_not_read_changes_nothing() {
    on_both(async |db| {
        let (house, _folder) = house(&db, 1).await;
        let open = get(&house, "/api/findings").await.json();
        let path = format!("/api/findings/{}/review", open[0]["id"].as_str().unwrap());
        let refusals = [
            (json!({"decision": "maybe"}), (422, "invalid-json")),
            (json!({"comment": "no decision"}), (422, "invalid-json")),
            (json!({"decision": "reject", "comment": "x".repeat(4_001)}), (400, "comment-too-long")),
            (json!({"decision": "reject", "comment": "\0"}), (400, "invalid-comment")),
        ];
        for (body, (status, code)) in refusals {
            assert_eq!(post_json(&house, &path, &body).await.problem(), (status, code.to_owned()));
        }
        let longest = json!({"decision": "reject", "comment": "ü".repeat(4_000)});
        assert_eq!(get(&house, "/api/findings").await.json(), open);
        assert_eq!(post_json(&house, &path, &longest).await.status.as_u16(), 200);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_finding_is_not_found() {
    on_both(async |db| {
        let (house, _folder) = house(&db, 0).await;
        let path = format!("/api/findings/{}", FindingId::from(AnalysisId::new().0));
        assert_eq!(get(&house, &path).await.problem(), (404, "not-found".into()));
        assert_eq!(get(&house, "/api/findings/1").await.problem(), (404, "not-found".into()));
        let word = json!({"decision": "reject"});
        let review = post_json(&house, &format!("{path}/review"), &word).await;
        assert_eq!(review.problem(), (404, "not-found".into()));
        let state = get(&house, "/api/findings?state=closed").await;
        assert_eq!(state.problem(), (400, "invalid-query".into()));
    })
    .await;
}

#[tokio::test]
async fn following_the_links_shows_every_finding_once() {
    on_both(async |db| {
        let (house, _folder) = house(&db, 5).await;
        let mut path = "/api/findings?state=open&limit=2".to_owned();
        let mut seen = std::collections::HashSet::new();
        for pages in 1.. {
            let page = get(&house, &path).await;
            for finding in page.json().as_array().unwrap() {
                assert!(seen.insert(finding["id"].to_string()), "shown twice");
            }
            let link = page.header("link").to_owned();
            let next = link.split(", ").find(|link| link.ends_with("rel=\"next\""));
            let Some(next) = next else {
                assert_eq!(pages, 3);
                break;
            };
            path = next[1..next.find('>').unwrap()].to_owned();
        }
        assert_eq!(seen.len(), 5);
    })
    .await;
}
