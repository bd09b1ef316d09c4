//! What is deleted or rejected is found no more, and what a locked study is.

use axum::http::{Method, Request, header};
use clinical::id::ClinicId;
use clinical::role::Role;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde_json::json;
use storage::records::member::Position;
use storage::testing::count;

use super::support::{Answer, EXPLICIT_LE, House, Image, file, on_each};

async fn delete(house: &House, path: &str) -> Answer {
    house.ask(Method::DELETE, &format!("/dicom-web{path}"), &[]).await
}

async fn status(house: &House, path: &str) -> u16 {
    house.get(path).await.status.as_u16()
}

fn old() -> Image {
    Image { date: "20100102", ..Image::new("1.2.3.1.1") }
}

/// Lets the stored studies have been stored on 2 January 2010.
async fn age(house: &House) {
    let stored_at =
        chrono::NaiveDate::from_ymd_opt(2010, 1, 2).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
    let mut tx = house.app.db.begin().await.unwrap();
    let update = storage::db::sql("UPDATE studies SET stored_at = $1").bind(stored_at);
    update.execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

/// Ten years after Study Date and receipt, which is what the clinic keeps without a setting of its own.
#[tokio::test]
async fn a_study_that_need_not_be_kept_goes_with_its_bytes() {
    on_each(async |house| {
        let second = Image { number: 2, ..Image { instance: "1.2.3.1.2".into(), ..old() } };
        assert_eq!(house.store("/studies", &[old().plain(), second.plain()]).await.status, 200);
        assert_eq!(delete(&house, "/studies/1.2.3").await.code(), "retention", "it has just been stored");
        age(&house).await;
        let gone = delete(&house, &format!("{}?reason=sent%20twice", second.path())).await;
        assert_eq!(gone.status, 200, "{}", gone.json());
        let view = gone.json();
        assert_eq!((&view["instances"], &view["keptUntil"]), (&json!(1), &json!(null)));
        assert_eq!(status(&house, &second.path()).await, 404);
        assert_eq!(house.get("/studies").await.json()[0]["00201208"]["Value"], json!([1]));
        assert_eq!(delete(&house, "/studies/1.2.3").await.json()["instances"], 1);
        assert_eq!(house.get("/studies").await.json(), json!([]));
        assert_eq!(delete(&house, "/studies/1.2.3").await.status, 404);
        assert_eq!(delete(&house, "/studies/1.2.3/series/1.2.3.1?reason=%20").await.code(), "invalid-query");
        for (table, rows) in [("instances", 0), ("studies", 0), ("tombstones", 2)] {
            assert_eq!(count(&house.app.db, table).await, rows, "{table}");
        }
        let events = "SELECT count(*) FROM events WHERE name = 'instances_removed'";
        let mut rows = house.app.db.read().await.unwrap();
        assert_eq!(storage::db::sql(events).fetch_one::<i64>(&mut rows).await.unwrap(), 2);
        let audited =
            "SELECT count(*) FROM audit_trail WHERE action = 'study:delete' AND outcome = 'success'";
        assert_eq!(storage::db::sql(audited).fetch_one::<i64>(&mut rows).await.unwrap(), 2);
        drop(rows);
        assert_eq!(house.store("/studies", &[old().plain()]).await.status, 200, "it may come again");
    })
    .await;
}

#[tokio::test]
async fn what_must_be_kept_is_hidden_by_who_may_and_says_why() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        age(&house).await;
        let kept = delete(&house, "/studies/1.2.3").await;
        assert_eq!((kept.status.as_u16(), kept.code().as_str()), (409, "retention"));
        assert_eq!(delete(&house, "/studies/1.2.3?override=true").await.code(), "reason-missing");
        let hidden = delete(&house, "/studies/1.2.3?override=true&reason=wrong%20patient").await;
        assert_eq!((hidden.status.as_u16(), &hidden.json()["keptUntil"]), (200, &json!("2036-01-02")));
        for path in ["/studies/1.2.3", "/studies/1.2.3/metadata", &image.path()] {
            assert_eq!(status(&house, path).await, 404, "{path}");
        }
        for path in ["/studies", "/series", "/instances"] {
            assert_eq!(house.get(path).await.json(), json!([]), "{path}");
        }
        assert_eq!(count(&house.app.db, "instances").await, 1, "the law has it still");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        assert_eq!(status(&house, &image.path()).await, 200, "sent again, it is there again");
    })
    .await;
}

#[tokio::test]
async fn who_removed_what_and_why_is_told_page_by_page_to_who_may_know() {
    on_each(async |house| {
        let second = Image { number: 2, ..Image::new("1.2.3.1.2") };
        let other = Image { study: "1.2.4", series: "1.2.4.1", ..Image::new("1.2.4.1.1") };
        let files = [Image::new("1.2.3.1.1").plain(), second.plain(), other.plain()];
        assert_eq!(house.store("/studies", &files).await.status, 200);
        let note = note("1.2.3.9.1", "113001", &["1.2.3.1.2"]);
        assert_eq!(house.store("/studies", &[note]).await.status, 200);
        delete(&house, "/studies/1.2.4?override=true&reason=wrong%20patient").await;
        let ask = async |query: &str| {
            let answer = house.ask(Method::GET, &format!("/api/v1/removals{query}"), &[]).await;
            (answer.status.as_u16(), answer)
        };
        let (status, first) = ask("?limit=1").await;
        let told = &first.json()[0];
        assert_eq!(
            (status, &told["studyInstanceUid"], &told["code"]),
            (200, &json!("1.2.4"), &json!("deleted"))
        );
        assert_eq!((&told["reason"], &told["instances"]), (&json!("wrong patient"), &json!(1)));
        assert_eq!((&told["purgedAt"], told["keptUntil"].is_string()), (&json!(null), true));
        assert!(first.header("link").contains("cursor="), "there is more");
        let (_, noted) = ask("?study=1.2.3").await;
        assert_eq!(noted.json().as_array().unwrap().len(), 1);
        assert_eq!(noted.json()[0]["code"], "113001");
        assert_eq!(noted.json()[0]["removedBy"], "note:1.2.3.9.1");
        assert_eq!(ask("?study=x").await.0, 400);
        for (role, status) in [(Role::ClinicAdmin, 200), (Role::Doctor, 403)] {
            let token = gate::testing::token_of(&house.app, ClinicId::DEFAULT, &Position::of(role)).await;
            let bearer = format!("Bearer {token}");
            let answer = house.ask(Method::GET, "/api/v1/removals", &[("authorization", &bearer)]).await;
            assert_eq!(answer.status, status, "{role:?}");
        }
    })
    .await;
}

/// A Key Object Selection Document (PS3.3, section A.35.4) of that title that names these instances of 1.2.3.
fn note(uid: &str, code: &str, instances: &[&str]) -> Vec<u8> {
    let text = |tag: Tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
    let within =
        |tag: Tag, items: Vec<InMemDicomObject>| DataElement::new(tag, VR::SQ, DataSetSequence::from(items));
    let title = InMemDicomObject::from_element_iter([
        text(tags::CODE_VALUE, VR::SH, code),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
    ]);
    let named = instances.iter().map(|uid| {
        InMemDicomObject::from_element_iter([text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, uid)])
    });
    let series = InMemDicomObject::from_element_iter([
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.1"),
        within(tags::REFERENCED_SOP_SEQUENCE, named.collect()),
    ]);
    let evidence = InMemDicomObject::from_element_iter([
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        within(tags::REFERENCED_SERIES_SEQUENCE, vec![series]),
    ]);
    let object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.88.59"),
        text(tags::SOP_INSTANCE_UID, VR::UI, uid),
        text(tags::MODALITY, VR::CS, "KO"),
        text(tags::PATIENT_ID, VR::LO, "P1"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.9"),
        within(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![title]),
        within(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence]),
    ]);
    file(object, EXPLICIT_LE)
}

/// IHE IOCM, RAD TF-2, section 4.66.
#[tokio::test]
async fn a_rejection_note_hides_what_it_names() {
    on_each(async |house| {
        let images: Vec<Image> = (1..=3).map(|it| Image::new(&format!("1.2.3.1.{it}"))).collect();
        let files: Vec<Vec<u8>> = images.iter().map(Image::plain).collect();
        assert_eq!(house.store("/studies", &files[..2]).await.status, 200);
        let of_interest = note("1.2.3.9.1", "113000", &["1.2.3.1.1"]);
        let safety = note("1.2.3.9.2", "113037", &["1.2.3.1.1"]);
        let quality = note("1.2.3.9.3", "113001", &["1.2.3.1.2", "1.2.3.1.3"]);
        assert_eq!(house.store("/studies", &[of_interest]).await.status, 200);
        assert_eq!(status(&house, &images[0].path()).await, 200, "«Of Interest» rejects nothing");
        assert_eq!(house.store("/studies", &[safety, quality]).await.status, 200);
        for image in &images {
            assert_eq!(status(&house, &image.path()).await, 404);
        }
        let found = house.get("/instances").await.json();
        assert_eq!(found.as_array().unwrap().len(), 3, "the notes themselves");
        assert_eq!(house.get("/series").await.json()[0]["00080060"]["Value"], json!(["KO"]));

        let again = house.store("/studies", &files[..1]).await;
        assert_eq!(again.status, 409);
        assert_eq!(again.json()["00081198"]["Value"][0]["00081197"]["Value"], json!([0xA770]));
        assert_eq!(house.store("/studies", &files[1..]).await.status, 200, "taken, and hidden");
        assert_eq!(house.get("/instances").await.json().as_array().unwrap().len(), 3);
        assert_eq!(count(&house.app.db, "instances").await, 6);
        let corrected = Image::new("1.2.3.1.4");
        assert_eq!(house.store("/studies", &[corrected.plain()]).await.status, 200);
        assert_eq!(status(&house, &corrected.path()).await, 200, "its series is there again");
    })
    .await;
}

/// A doctor may store studies and may not delete them: `study` in the table of rights.
#[tokio::test]
async fn a_note_from_someone_who_may_not_delete_studies_hides_nothing() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        for (role, uid, seen) in [(Role::Doctor, "1.2.3.9.1", 200), (Role::ClinicAdmin, "1.2.3.9.2", 404)] {
            let token = gate::testing::token_of(&house.app, ClinicId::DEFAULT, &Position::of(role)).await;
            let request = Request::post("/dicom-web/studies")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(header::CONTENT_TYPE, "application/dicom")
                .header(header::HOST, "pacs:8080");
            let note = note(uid, "113001", &["1.2.3.1.1"]);
            assert_eq!(house.send(request.body(note.into()).unwrap()).await.status, 200);
            assert_eq!(status(&house, &image.path()).await, seen, "{role:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_locked_study_takes_nothing_and_loses_nothing() {
    on_each(async |house| {
        assert_eq!(house.store("/studies", &[old().plain()]).await.status, 200);
        let lock = "/dicom-web/studies/1.2.3/lock";
        assert_eq!(house.ask(Method::PUT, lock, &[]).await.status, 204);
        let more = Image { instance: "1.2.3.1.2".into(), ..old() };
        let refused = house.store("/studies", &[more.plain()]).await;
        assert_eq!(refused.status, 409);
        assert_eq!(refused.json()["00081198"]["Value"][0]["00081197"]["Value"], json!([0xA770]));
        assert_eq!(house.store("/studies", &[old().plain()]).await.status, 200, "what is there is no change");
        assert_eq!(delete(&house, "/studies/1.2.3").await.code(), "study-locked");
        assert_eq!(house.ask(Method::DELETE, lock, &[]).await.status, 204);
        assert_eq!(house.store("/studies", &[more.plain()]).await.status, 200);
        assert_eq!(house.ask(Method::PUT, "/dicom-web/studies/9.9/lock", &[]).await.status, 404);
    })
    .await;
}
