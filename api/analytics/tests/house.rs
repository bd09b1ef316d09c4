//! Numbers over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

use std::sync::Arc;

use analytics::{Counter, catch_up, rebuild};
use axum::Router;
use axum::body::Body;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clinical::decision::Urgency;
use clinical::event::{Event, Found, Reviewed, SeriesBegun};
use clinical::id::{
    AssessmentId, ClinicId, FindingId, InstanceId, InvoiceId, NotificationId, PatientId, PaymentId, StudyId,
    UserId, VisitId,
};
use clinical::person::{Demographics, PersonName, Sex};
use clinical::role::Role;
use gate::testing::{Answer, app, get, send, token_of};
use gate::{App, HttpLimits, layers};
use http::{Request, header};
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::outbox::relay::{Work, place_all};
use storage::outbox::{Hearing, Listener, tell};
use storage::records::clinic::Clinic;
use storage::records::member::Position;
use storage::records::patient::Patient;
use storage::testing::{count, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// A Sunday in November.
fn now() -> DateTime<Utc> {
    at("2026-11-22T12:00:00Z")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

struct House {
    db: Db,
    app: App,
    router: Router,
    _folder: tempfile::TempDir,
}

impl House {
    fn open(db: &Db) -> Self {
        let (app, folder) = app(db, HttpLimits::default(), now());
        let router = layers(analytics::routes(app.clone()), app.clone());
        Self { db: db.clone(), app, router, _folder: folder }
    }

    async fn tell(&self, events: &[(&str, Event)]) {
        let mut tx = self.db.begin().await.unwrap();
        for (when, event) in events {
            tell(&mut tx, CLINIC, event, at(when)).await.unwrap();
        }
        tx.commit().await.unwrap();
        place_all(&self.db, Work::None).await.unwrap();
    }

    async fn counted(&self) -> u64 {
        catch_up(&self.db).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let answer = get(&self.router, path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()
    }

    async fn get_as(&self, token: &str, clinic: ClinicId, path: &str) -> Answer {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("x-clinic-id", clinic.to_string());
        send(&self.router, request.body(Body::empty()).unwrap()).await
    }

    /// A patient of this sex and birth date, who is told of.
    async fn patient(&self, when: &str, sex: Sex, born: Option<&str>) -> PatientId {
        let demographics = Demographics {
            name: PersonName { family: Some("Somebody".to_owned()), ..PersonName::default() },
            sex,
            birth_date: born.map(|day| day.parse::<NaiveDate>().unwrap()),
            ..Demographics::default()
        };
        let mut tx = self.db.begin().await.unwrap();
        let patient_id = Patient::register(&mut tx, CLINIC, &demographics, false, at(when)).await.unwrap();
        tx.commit().await.unwrap();
        self.tell(&[(when, Event::PatientRegistered { patient_id })]).await;
        patient_id
    }
}

fn visit(visit_id: VisitId, physician_id: UserId, specialty: &str, starts_at: &str) -> Event {
    let specialty = Some(specialty.to_owned());
    Event::VisitBooked {
        visit_id,
        patient_id: PatientId::new(),
        physician_id,
        specialty,
        starts_at: at(starts_at),
    }
}

fn paid(amount_minor: i64, code: &str) -> Event {
    Event::PaymentSucceeded {
        payment_id: PaymentId::new(),
        invoice_id: Some(InvoiceId::new()),
        patient_id: None,
        amount_minor,
        currency: code.parse().unwrap(),
    }
}

fn refunded(amount_minor: i64, code: &str) -> Event {
    Event::PaymentRefunded {
        payment_id: PaymentId::new(),
        invoice_id: None,
        patient_id: None,
        amount_minor,
        currency: code.parse().unwrap(),
    }
}

/// The members, their names and their order are those of the clinic application's document.
#[tokio::test]
async fn stats_have_the_members_of_the_clinic_application_in_its_order() {
    on_both(async |db| {
        let house = House::open(&db);
        let physicians = [UserId::new(), UserId::new()];
        house.patient("2026-09-10T10:00:00Z", Sex::Male, None).await;
        house.patient("2026-10-31T23:59:59Z", Sex::Female, None).await;
        house.patient("2026-11-01T00:00:00Z", Sex::Female, None).await;
        house
            .tell(&[
                ("2026-10-01T08:00:00Z", visit(VisitId::new(), physicians[0], "Cardiology", "2026-10-31T23:59:59Z")),
                ("2026-10-01T08:00:00Z", visit(VisitId::new(), physicians[0], "Cardiology", "2026-11-01T00:00:00Z")),
                ("2026-10-01T08:00:00Z", visit(VisitId::new(), physicians[1], "Radiology", "2026-11-30T23:59:59Z")),
                ("2026-10-01T08:00:00Z", visit(VisitId::new(), physicians[1], "Radiology", "2026-12-01T00:00:00Z")),
                ("2026-10-05T08:00:00Z", paid(20_000, "USD")),
                ("2026-11-05T08:00:00Z", paid(25_050, "USD")),
                ("2026-11-06T08:00:00Z", refunded(50, "USD")),
                ("2026-11-06T08:00:00Z", paid(700, "EUR")),
            ])
            .await;
        house.counted().await;

        let answer = get(&house.router, "/api/analytics/stats").await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(
            text,
            "{\"totalPatients\":3,\"appointmentsThisMonth\":2,\"revenue\":250.00,\"activePhysicians\":2,\
             \"patientChangePercent\":50.0,\"appointmentChangePercent\":100.0,\"revenueChangePercent\":25.0,\
             \"physicianChangePercent\":100.0,\"currency\":\"USD\",\"from\":\"2026-11-01\",\"to\":\"2026-11-30\",\
             \"timeZone\":\"UTC\"}"
        );
        let euros = house.json("/api/analytics/stats?currency=EUR").await;
        assert_eq!((&euros["revenue"], &euros["revenueChangePercent"]), (&json!(7.0), &Value::Null));
        let october = house.json("/api/analytics/stats?from=2026-10-01&to=2026-10-31").await;
        assert_eq!((&october["totalPatients"], &october["appointmentsThisMonth"]), (&json!(2), &json!(1)));
        assert_eq!(october["appointmentChangePercent"], Value::Null, "from nothing");
    })
    .await;
}

#[tokio::test]
async fn a_month_is_the_month_of_the_place_and_a_trend_says_its_year() {
    on_both(async |db| {
        let house = House::open(&db);
        // Half past eleven in the evening of the old year in London, five in the morning of the new one in Kolkata.
        house
            .tell(&[
                ("2025-12-31T23:30:00Z", paid(1_000, "INR")),
                ("2026-03-29T00:59:59Z", paid(10, "INR")),
                // In Berlin the clocks went from two to three: the month still ends at midnight there.
                ("2026-03-31T21:59:59Z", paid(200, "INR")),
                ("2026-03-31T22:00:00Z", paid(4_000, "INR")),
            ])
            .await;
        house.counted().await;
        let months = async |zone: &str| {
            let path = format!("/api/analytics/monthly-trends?from=2025-12-01&to=2026-04-30&timeZone={zone}");
            let answer = house.json(&path).await;
            let line = |month: &Value| {
                (
                    month["month"].as_str().unwrap().to_owned(),
                    month["year"].as_i64().unwrap(),
                    month["revenue"].as_f64().unwrap(),
                )
            };
            answer.as_array().unwrap().iter().map(line).collect::<Vec<_>>()
        };
        let line = |month: &str, year, revenue| (month.to_owned(), year, revenue);
        assert_eq!(
            months("UTC").await,
            [
                line("Dec", 2025, 10.0),
                line("Jan", 2026, 0.0),
                line("Feb", 2026, 0.0),
                line("Mar", 2026, 42.1),
                line("Apr", 2026, 0.0)
            ]
        );
        assert_eq!(months("Asia/Kolkata").await[1], line("Jan", 2026, 10.0));
        let berlin = months("Europe/Berlin").await;
        assert_eq!(berlin[3..], [line("Mar", 2026, 2.1), line("Apr", 2026, 40.0)]);
        assert_eq!(house.json("/api/analytics/monthly-trends").await.as_array().unwrap().len(), 12);
        let first = &house.json("/api/analytics/monthly-trends").await[0];
        assert_eq!((&first["month"], &first["year"]), (&json!("Dec"), &json!(2025)));
    })
    .await;
}

#[tokio::test]
async fn patients_beyond_the_groups_are_counted_beside_them() {
    on_both(async |db| {
        let house = House::open(&db);
        let day = "2026-01-01T00:00:00Z";
        for (sex, born) in [
            (Sex::Male, Some("2008-11-23")),   // 18 tomorrow
            (Sex::Male, Some("2008-11-22")),   // 18 today
            (Sex::Female, Some("1995-11-23")), // 30
            (Sex::Female, Some("1995-11-22")), // 31
            (Sex::Female, Some("1956-11-22")), // 70
            (Sex::Other, Some("1955-11-22")),  // 71
            (Sex::Unknown, None),
        ] {
            house.patient(day, sex, born).await;
        }
        house.counted().await;
        let answer = house.json("/api/analytics/demographics").await;
        let expected = json!({
            "malePatients": 2, "femalePatients": 3, "otherPatients": 1, "unknownPatients": 1,
            "ageGroups": {"18-30": 2, "31-50": 1, "51-70": 1, "70+": 1, "0-17": 1, "unknown": 1},
            "on": "2026-11-22",
        });
        assert_eq!(answer, expected);
        let tomorrow = house.json("/api/analytics/demographics?to=2026-11-23").await;
        assert_eq!(tomorrow["ageGroups"]["0-17"], 0);
        assert_eq!(tomorrow["ageGroups"]["18-30"], 2, "one is 18 and another 31");
    })
    .await;
}

#[tokio::test]
async fn who_is_changed_merged_or_erased_is_counted_as_they_are() {
    on_both(async |db| {
        let house = House::open(&db);
        let day = "2026-11-02T00:00:00Z";
        let into = house.patient(day, Sex::Male, Some("1980-01-01")).await;
        let from = house.patient(day, Sex::Male, Some("1980-01-01")).await;
        let erased = house.patient(day, Sex::Female, Some("1990-01-01")).await;
        house.counted().await;
        let mut tx = house.db.begin().await.unwrap();
        Patient::merge(&mut tx, CLINIC, into, from, at(day)).await.unwrap();
        Patient::erase(&mut tx, CLINIC, erased, at(day)).await.unwrap();
        tx.commit().await.unwrap();
        let merged = Event::PatientMerged { patient_id: into, from_patient_id: from };
        house.tell(&[(day, merged), (day, Event::PatientErased { patient_id: erased })]).await;
        house.counted().await;
        let answer = house.json("/api/analytics/demographics").await;
        assert_eq!((&answer["malePatients"], &answer["femalePatients"]), (&json!(1), &json!(0)));
        assert_eq!((&answer["unknownPatients"], &answer["ageGroups"]["unknown"]), (&json!(1), &json!(1)));
        assert_eq!(house.json("/api/analytics/stats").await["totalPatients"], 2);
        assert_eq!(rebuild(&house.db).await.unwrap().differing, 0);
        assert_eq!(house.json("/api/analytics/demographics").await, answer);
    })
    .await;
}

#[tokio::test]
async fn a_visit_that_moves_is_one_visit_and_slices_have_their_order_and_colours() {
    on_both(async |db| {
        let house = House::open(&db);
        let (moved, physician) = (VisitId::new(), UserId::new());
        let booked = "2026-11-01T08:00:00Z";
        let held = Event::VisitHeld {
            visit_id: moved,
            patient_id: PatientId::new(),
            physician_id: physician,
            specialty: Some("Cardiology".to_owned()),
            starts_at: at("2026-11-20T09:15:00Z"),
        };
        house
            .tell(&[
                (booked, visit(moved, physician, "Cardiology", "2026-10-20T09:00:00Z")),
                (booked, visit(moved, physician, "Cardiology", "2026-11-20T09:00:00Z")),
                (booked, held),
                (booked, visit(VisitId::new(), physician, "Neurology", "2026-11-03T09:00:00Z")),
                (booked, visit(VisitId::new(), physician, "Neurology", "2026-11-04T09:00:00Z")),
                (booked, visit(VisitId::new(), physician, "", "2026-11-04T09:00:00Z")),
            ])
            .await;
        house.counted().await;
        let stats = house.json("/api/analytics/stats").await;
        assert_eq!((&stats["appointmentsThisMonth"], &stats["activePhysicians"]), (&json!(4), &json!(1)));
        let expected = json!([
            {"name": "Neurology", "value": 2, "color": "#8884d8", "percent": 50.0},
            {"name": "Cardiology", "value": 1, "color": "#82ca9d", "percent": 25.0},
            {"name": "Unspecified", "value": 1, "color": "#ffc658", "percent": 25.0},
        ]);
        assert_eq!(house.json("/api/analytics/specialties").await, expected);
    })
    .await;
}

fn stored(study_id: StudyId, modality: &str) -> Event {
    let begins = SeriesBegun {
        patient_id: PatientId::new(),
        modality: Some(modality.to_owned()),
        is_own_result: false,
    };
    Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: Some(begins) }
}

fn ready(study_id: StudyId, positive: i64) -> Event {
    let found = Found { scored: 1, abstained: 0, positive };
    Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: Some(found) }
}

fn word(finding_id: FindingId, study_id: StudyId, is_accepted: bool) -> Event {
    let review = Reviewed { study_id, user_id: None, is_accepted };
    Event::FindingReviewed { finding_id, review: Some(review) }
}

#[tokio::test]
async fn studies_count_where_they_came_in_and_the_last_word_on_a_finding_counts() {
    on_both(async |db| {
        let house = House::open(&db);
        let (first, second, finding) = (StudyId::new(), StudyId::new(), FindingId::new());
        house
            .tell(&[
                ("2026-10-31T23:59:00Z", stored(first, "CT")),
                ("2026-11-02T10:00:00Z", stored(second, "CR")),
                // A second series of the same study, and one that we have made ourselves.
                ("2026-11-02T10:00:01Z", stored(second, "SR")),
                ("2026-11-02T10:01:00Z", ready(first, 1)),
                ("2026-11-02T10:02:00Z", ready(second, 0)),
                ("2026-11-02T10:03:00Z", ready(second, 2)),
                ("2026-11-02T11:02:00Z", word(finding, second, false)),
                ("2026-11-03T11:02:00Z", word(finding, second, true)),
            ])
            .await;
        house.counted().await;
        let answer = house.json("/api/analytics/imaging").await;
        assert_eq!(
            (&answer["studies"], &answer["read"], &answer["positive"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert_eq!(
            answer["byModality"][0],
            json!({"modality": "CR", "studies": 1, "read": 1, "positive": 1, "positivePercent": 100.0})
        );
        let turnaround = &answer["turnaround"];
        assert_eq!(turnaround["receiptToFinding"]["meanSeconds"], 120);
        assert_eq!(turnaround["findingToReview"]["meanSeconds"], 3_600);
        assert_eq!(turnaround["receiptToReview"]["within"][3], json!({"upToSeconds": 14_400, "count": 1}));
        assert_eq!(
            answer["agreement"],
            json!({"reviewed": 1, "accepted": 1, "rejected": 0, "agreementPercent": 100.0})
        );
        let october = house.json("/api/analytics/imaging?from=2026-10-01&to=2026-10-31").await;
        assert_eq!((&october["studies"], &october["positivePercent"]), (&json!(1), &json!(100.0)));
    })
    .await;
}

#[tokio::test]
async fn urgency_messages_money_and_use_are_counted() {
    on_both(async |db| {
        let house = House::open(&db);
        let made =
            |urgency| Event::AssessmentMade { assessment_id: AssessmentId::new(), urgency: Some(urgency) };
        let message = |state: &str| Event::NotificationSettled {
            notification_id: NotificationId::new(),
            channel: "email".to_owned(),
            state: state.to_owned(),
        };
        let day = "2026-11-05T08:00:00Z";
        house
            .tell(&[
                (day, made(Urgency::Emergency)),
                (day, made(Urgency::SelfCare)),
                (day, made(Urgency::SelfCare)),
                (day, message("sent")),
                (day, message("delivered")),
                (day, message("failed")),
                (day, paid(500, "JPY")),
                (day, refunded(200, "JPY")),
            ])
            .await;
        house.counted().await;
        let triage = house.json("/api/analytics/triage").await;
        assert_eq!((&triage["assessments"], &triage["emergencyPercent"]), (&json!(3), &json!(33.3)));
        assert_eq!(triage["byUrgency"][0], json!({"urgency": "self-care", "count": 2}));
        let channel = &house.json("/api/analytics/notifications").await["byChannel"][0];
        assert_eq!(
            (&channel["channel"], &channel["delivered"], &channel["failed"]),
            (&json!("email"), &json!(1), &json!(1))
        );
        let yen = &house.json("/api/analytics/billing").await["byCurrency"][0];
        assert_eq!(
            (&yen["currency"], &yen["revenueMinor"], &yen["refunds"]),
            (&json!("JPY"), &json!(300), &json!(1))
        );
        assert_eq!(house.json("/api/analytics/stats").await["revenue"], 300, "yen have no minor units");
        let platform = house.json("/api/analytics/platform").await;
        let billing =
            platform["features"].as_array().unwrap().iter().find(|it| it["feature"] == "BILLING").unwrap();
        assert_eq!(
            *billing,
            json!({"feature": "BILLING", "events": 2, "changePercent": null, "isAdopted": true})
        );
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_brought_twice_or_after_a_crash_is_counted_once() {
    on_both(async |db| {
        let house = House::open(&db);
        let listener: Arc<dyn Listener> = Arc::new(Counter::new(db.clone()));
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        assert_eq!(house.counted().await, 1);
        let mut hearing = Hearing::new(db.clone(), Arc::clone(&listener));
        hearing.step(now()).await.unwrap();
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        assert_eq!(house.counted().await, 1, "before the listener has heard it");
        hearing.step(now()).await.unwrap();
        let told = storage::outbox::after(&mut db.read().await.unwrap(), 0, 10).await.unwrap();
        listener.hear(&told).await.unwrap();
        listener.hear(&told).await.unwrap();
        assert_eq!(house.json("/api/analytics/stats").await["revenue"], 2.0);
        assert_eq!(house.json("/api/analytics/billing").await["byCurrency"][0]["payments"], 2);
    })
    .await;
}

#[tokio::test]
async fn a_recount_comes_to_the_same_and_mends_what_was_damaged() {
    on_both(async |db| {
        let house = House::open(&db);
        for number in 0..30 {
            let when = (at("2026-11-01T00:00:00Z") + TimeDelta::hours(7 * number)).to_rfc3339();
            let (study, finding) = (StudyId::new(), FindingId::new());
            house
                .tell(&[
                    (&when, paid(100 + number, "USD")),
                    (&when, visit(VisitId::new(), UserId::new(), "Cardiology", &when)),
                    (&when, stored(study, "CT")),
                    (&when, ready(study, number % 2)),
                    (&when, word(finding, study, number % 3 == 0)),
                ])
                .await;
        }
        house.patient("2026-11-05T08:00:00Z", Sex::Male, Some("1980-01-01")).await;
        house.counted().await;
        let paths = ["stats", "imaging", "specialties", "demographics", "billing", "platform"];
        let answers = async || {
            let mut answers = Vec::new();
            for path in paths {
                answers.push(house.json(&format!("/api/analytics/{path}")).await);
            }
            answers
        };
        let (before, lines) = (answers().await, count(&db, "analytics_counts").await);
        let rebuilt = rebuild(&db).await.unwrap();
        assert_eq!((rebuilt.events, rebuilt.differing), (151, 0));
        assert_eq!((answers().await, count(&db, "analytics_counts").await), (before.clone(), lines));

        let mut tx = db.begin().await.unwrap();
        sql("UPDATE analytics_counts SET amount = amount + 7 WHERE metric = 'visits'")
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_ne!(answers().await, before);
        assert!(rebuild(&db).await.unwrap().differing > 0);
        assert_eq!(answers().await, before);
        assert_eq!(count(&db, "analytics_generations").await, 1);
    })
    .await;
}

#[tokio::test]
async fn small_counts_are_hidden_from_whoever_is_not_of_the_clinic() {
    on_both(async |db| {
        let house = House::open(&db);
        for _ in 0..6 {
            house.patient("2026-11-05T08:00:00Z", Sex::Male, Some("1980-01-01")).await;
        }
        house.patient("2026-11-05T08:00:00Z", Sex::Female, Some("1990-01-01")).await;
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        house.counted().await;
        let mut tx = db.begin().await.unwrap();
        let elsewhere = Clinic::create(&mut tx, "Elsewhere", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let staff = token_of(&house.app, CLINIC, &Position::of(Role::ClinicAdmin)).await;
        let auditor = token_of(&house.app, elsewhere, &Position::of(Role::SystemAuditor)).await;
        let path = "/api/analytics/demographics";
        assert_eq!(house.get_as(&staff, CLINIC, path).await.json()["femalePatients"], 1);
        let shown = house.get_as(&auditor, CLINIC, path).await.json();
        assert_eq!(shown["femalePatients"], Value::Null);
        assert_eq!(shown["malePatients"], Value::Null, "or the whole of 7 would tell the other");
        let stats = house.get_as(&auditor, CLINIC, "/api/analytics/stats").await.json();
        assert_eq!((&stats["totalPatients"], &stats["revenue"]), (&json!(7), &Value::Null));
        let day = house.get_as(&auditor, CLINIC, "/api/analytics/stats?from=2026-11-05&to=2026-11-05").await;
        assert_eq!(day.problem(), (403, "whole-months-only".to_owned()));

        let nurse = token_of(&house.app, CLINIC, &Position::of(Role::Nurse)).await;
        assert_eq!(house.get_as(&nurse, CLINIC, path).await.problem().0, 403);
        let foreign = token_of(&house.app, elsewhere, &Position::of(Role::ClinicAdmin)).await;
        assert_eq!(house.get_as(&foreign, CLINIC, path).await.problem().0, 404);
        let own = house.get_as(&foreign, elsewhere, "/api/analytics/stats").await.json();
        assert_eq!(own["totalPatients"], 0, "another clinic's patients are not there");
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_taken_away_as_csv_and_parquet() {
    on_both(async |db| {
        let house = House::open(&db);
        house.tell(&[("2026-11-05T08:00:00Z", paid(12_345, "USD"))]).await;
        house.counted().await;
        let path = "/api/analytics/export?report=monthly-trends&from=2026-11-01&to=2026-11-30";
        let csv = get(&house.router, path).await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        assert_eq!(
            csv.header("content-disposition"),
            "attachment; filename=\"analytics-monthly-trends-2026-11-01-2026-11-30.csv\""
        );
        assert_eq!(&csv.body[..], b"year,month,patients,appointments,revenue\r\n2026,Nov,0,0,123.45\r\n");
        for report in [
            "stats",
            "specialties",
            "demographics",
            "imaging",
            "triage",
            "billing",
            "notifications",
            "platform",
        ] {
            for format in ["csv", "parquet"] {
                let answer =
                    get(&house.router, &format!("/api/analytics/export?report={report}&format={format}"))
                        .await;
                assert_eq!(answer.status, 200, "{report}");
                assert_eq!(answer.body.starts_with(b"PAR1"), format == "parquet");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn nonsense_is_refused() {
    on_both(async |db| {
        let house = House::open(&db);
        for (query, code) in [
            ("from=2026-02-30", "invalid-query"),
            ("from=2026-02-02&to=2026-02-01", "invalid-period"),
            ("from=0001-01-01&to=2026-02-01", "invalid-period"),
            ("timeZone=Mars/Phobos", "invalid-time-zone"),
            ("currency=XYZ", "invalid-currency"),
        ] {
            let answer = get(&house.router, &format!("/api/analytics/stats?{query}")).await;
            assert_eq!(answer.problem(), (400, code.to_owned()), "{query}");
        }
        let answer = get(&house.router, "/api/analytics/export?report=secrets").await;
        assert_eq!(answer.problem(), (400, "invalid-query".to_owned()));
    })
    .await;
}

/// What an older program told has no such words: it reads, and is not counted.
#[tokio::test]
async fn events_of_an_older_program_still_read() {
    on_both(async |db| {
        let house = House::open(&db);
        let (study, finding) = (StudyId::new(), FindingId::new());
        house
            .tell(&[
                (
                    "2026-11-05T08:00:00Z",
                    Event::FindingsReady { study_id: study, analysis_ids: Vec::new(), found: None },
                ),
                ("2026-11-05T08:00:00Z", Event::FindingReviewed { finding_id: finding, review: None }),
            ])
            .await;
        let old = storage::outbox::told(&mut db.read().await.unwrap(), CLINIC, "finding_reviewed", 1)
            .await
            .unwrap();
        assert_eq!(old[0].body, json!({"type": "finding_reviewed", "finding_id": finding}));
        assert_eq!(house.counted().await, 2);
        assert_eq!(house.json("/api/analytics/imaging").await["agreement"]["reviewed"], 0);
    })
    .await;
}
