//! UPS-RS: a step is made, claimed, done (PS3.18, chapter 11; IHE AIW-I, RAD-80 to RAD-84).

use axum::http::Method;
use clinical::job::Job;
use serde_json::{Value, json};
use storage::queue;
use storage::records::study::Study;

use super::support::{House, Image, on_each};

fn step(label: &str) -> Value {
    json!({
        "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741200": {"vr": "CS", "Value": ["MEDIUM"]},
        "00741204": {"vr": "LO", "Value": [label]},
        "00404005": {"vr": "DT", "Value": ["20260102101500"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Muster^Ada"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
    })
}

fn state(state: &str, transaction: &str) -> Value {
    json!([{
        "00741000": {"vr": "CS", "Value": [state]},
        "00081195": {"vr": "UI", "Value": [transaction]},
    }])
}

async fn tell(house: &House, method: Method, path: &str, body: &Value) -> (u16, String) {
    let answer = house.tell(method, path, body).await;
    let code = if answer.body.is_empty() { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn a_step_goes_from_scheduled_to_completed_by_the_hand_that_claimed_it() {
    on_each(async |house| {
        let made = house.tell(Method::POST, "/workitems?2.25.1", &json!([step("Read it")])).await;
        assert_eq!((made.status.as_u16(), made.body.len()), (201, 0));
        assert_eq!(made.header("content-location"), "http://pacs:8080/dicom-web/workitems/2.25.1");
        let again = tell(&house, Method::POST, "/workitems?2.25.1", &step("Read it")).await;
        assert_eq!(again, (409, "workitem-exists".to_owned()));
        let named = house.tell(Method::POST, "/workitems", &step("Another")).await;
        assert!(named.header("content-location").contains("/workitems/2.25."));

        let found =
            house.get("/workitems?ProcedureStepState=SCHEDULED&ProcedureStepLabel=Read*").await.json();
        assert_eq!(
            (found.as_array().unwrap().len(), &found[0]["00080018"]["Value"]),
            (1, &json!(["2.25.1"]))
        );
        assert_eq!(
            house.get("/workitems?PatientName=muster*&limit=1").await.json().as_array().unwrap().len(),
            1
        );

        let mut other = step("At another station");
        other["00404041"]["Value"] = json!(["INCOMPLETE"]);
        other["00404025"] = json!({"vr": "SQ", "Value": [{
            "00080100": {"vr": "SH", "Value": ["CAD_2"]},
            "00080102": {"vr": "SH", "Value": ["99SITE"]},
        }]});
        assert_eq!(house.tell(Method::POST, "/workitems?2.25.9", &other).await.status, 201);
        let station = "ScheduledStationNameCodeSequence.CodeValue=CAD*&InputReadinessState=INCOMPLETE";
        let found = house.get(&format!("/workitems?{station}")).await.json();
        assert_eq!(found.as_array().unwrap().len(), 1);
        assert_eq!(found[0]["00080018"]["Value"], json!(["2.25.9"]));
        assert_eq!(house.get(&format!("/workitems?{station}&offset=1")).await.json(), json!([]));

        let change = json!({"00741202": {"vr": "LO", "Value": ["CHEST"]}});
        assert_eq!(tell(&house, Method::POST, "/workitems/2.25.1", &change).await.0, 200);
        let path = "/workitems/2.25.1/state";
        assert_eq!(tell(&house, Method::PUT, path, &state("COMPLETED", "2.25.7")).await.1, "not-in-progress");
        assert_eq!(tell(&house, Method::PUT, path, &state("IN PROGRESS", "2.25.7")).await.0, 200);
        assert_eq!(tell(&house, Method::PUT, path, &state("IN PROGRESS", "2.25.8")).await.1, "in-progress");
        assert_eq!(tell(&house, Method::POST, "/workitems/2.25.1", &change).await.1, "transaction-missing");
        let done =
            json!({"00741216": {"vr": "SQ", "Value": [{"00404050": {"vr": "DT", "Value": ["20260102"]}}]}});
        assert_eq!(tell(&house, Method::PUT, path, &state("COMPLETED", "2.25.7")).await.1, "not-final");
        assert_eq!(tell(&house, Method::POST, "/workitems/2.25.1?2.25.7", &done).await.0, 200);
        assert_eq!(
            tell(&house, Method::PUT, path, &state("COMPLETED", "2.25.8")).await.1,
            "transaction-wrong"
        );
        assert_eq!(tell(&house, Method::PUT, path, &state("COMPLETED", "2.25.7")).await.0, 200);

        let shown = house.get("/workitems/2.25.1").await;
        assert_eq!(shown.header("content-type"), "application/dicom+json");
        let shown = &shown.json()[0];
        assert_eq!(
            (&shown["00741000"]["Value"], &shown["00741202"]["Value"]),
            (&json!(["COMPLETED"]), &json!(["CHEST"]))
        );
        assert!(shown["00081195"].is_null(), "who may change it is told to nobody");
        let over = house.tell(Method::PUT, path, &state("COMPLETED", "2.25.7")).await;
        assert!(over.status == 200 && over.header("warning").contains("already in the requested state"));
        assert_eq!(
            tell(&house, Method::POST, "/workitems/2.25.1/cancelrequest", &json!({})).await.1,
            "workitem-over"
        );
        assert_eq!(house.get("/workitems/2.25.99").await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_performs_is_canceled_and_a_performer_finds_the_request() {
    on_each(async |house| {
        for uid in ["2.25.1", "2.25.2"] {
            assert_eq!(tell(&house, Method::POST, &format!("/workitems?{uid}"), &step("Read")).await.0, 201);
        }
        let why = json!({"00741238": {"vr": "LT", "Value": ["no longer needed"]}});
        assert_eq!(tell(&house, Method::POST, "/workitems/2.25.1/cancelrequest", &why).await.0, 202);
        assert_eq!(house.get("/workitems/2.25.1").await.json()[0]["00741000"]["Value"], json!(["CANCELED"]));
        assert_eq!(
            tell(&house, Method::PUT, "/workitems/2.25.2/state", &state("IN PROGRESS", "2.25.7")).await.0,
            200
        );
        assert_eq!(tell(&house, Method::POST, "/workitems/2.25.2/cancelrequest", &why).await.0, 202);
        let asked = &house.get("/workitems/2.25.2").await.json()[0];
        assert_eq!(asked["00741000"]["Value"], json!(["IN PROGRESS"]));
        assert_eq!(asked["00741002"]["Value"][0]["00741238"]["Value"], json!(["no longer needed"]));
        assert_eq!(
            tell(&house, Method::PUT, "/workitems/2.25.2/state", &state("CANCELED", "2.25.7")).await.0,
            200
        );
    })
    .await;
}

#[tokio::test]
async fn a_step_about_a_study_of_ours_asks_for_its_analysis() {
    on_each(async |house| {
        assert_eq!(house.store("/studies", &[Image::new("1.2.3.1.1").plain()]).await.status, 200);
        let mut ours = step("Analyze");
        ours["00404021"] = json!({"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]});
        let mut theirs = ours.clone();
        theirs["00404025"] = json!({"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["OTHER"]}}]});
        assert_eq!(tell(&house, Method::POST, "/workitems?2.25.1", &ours).await.0, 201);
        assert_eq!(tell(&house, Method::POST, "/workitems?2.25.2", &theirs).await.0, 201);

        let clinic = clinical::id::ClinicId::DEFAULT;
        let mut rows = house.app.db.read().await.unwrap();
        let study = Study::by_uid(&mut rows, clinic, &"1.2.3".parse().unwrap()).await.unwrap();
        let job = Job::AnalyzeStudy { study_id: study.study_id };
        assert_eq!(queue::depth_of(&mut rows, clinic, &job).await.unwrap().queued, 1);
        assert!(
            queue::is_due(&mut rows, house.app.clock.now()).await.unwrap(),
            "at once, not when it is quiet"
        );
        drop(rows);
        let claim = |uid: &str| format!("/workitems/{uid}/state");
        assert_eq!(
            tell(&house, Method::PUT, &claim("2.25.1"), &state("IN PROGRESS", "2.25.7")).await.1,
            "performed-here"
        );
        assert_eq!(tell(&house, Method::PUT, &claim("2.25.2"), &state("IN PROGRESS", "2.25.7")).await.0, 200);
        let of_study = house.get("/workitems?StudyInstanceUID=1.2.3").await.json();
        assert_eq!(of_study.as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_step_is_refused_with_its_reason() {
    on_each(async |house| {
        let mut urgent = step("Read");
        urgent["00741000"]["Value"] = json!(["IN PROGRESS"]);
        for body in [json!({}), json!([]), urgent] {
            let refused = tell(&house, Method::POST, "/workitems?2.25.1", &body).await;
            assert_eq!(refused, (400, "invalid-workitem".to_owned()), "{body}");
        }
        assert_eq!(tell(&house, Method::POST, "/workitems?x", &step("Read")).await.1, "invalid-uid");
        assert_eq!(house.post("/workitems", "text/plain", b"{}".to_vec()).await.status, 415);
        assert_eq!(house.get("/workitems?Colour=red").await.code(), "unknown-key");
        assert_eq!(house.get("/workitems/x").await.code(), "invalid-uid");
        assert_eq!(
            tell(&house, Method::PUT, "/workitems/2.25.1/state", &state("DONE", "2.25.7")).await.1,
            "invalid-workitem"
        );
    })
    .await;
}
