//! What each answer says.

use clinical::decision::Urgency;
use clinical::event::Event;
use clinical::id::{AssessmentId, FindingId, NotificationId, PatientId, StudyId, UserId, VisitId};
use clinical::person::Sex;
use gate::testing::get;
use serde_json::{Value, json};
use storage::testing::on_both;

use crate::support::{House, at, paid, ready, refunded, stored, visit, word};

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
        let ten_years = house.json("/api/analytics/monthly-trends?from=2017-01-01&to=2026-12-31").await;
        let revenue = |month: &Value| month["revenue"].as_f64().unwrap();
        let paid_in: Vec<(usize, f64)> = ten_years
            .as_array()
            .unwrap()
            .iter()
            .map(revenue)
            .enumerate()
            .filter(|(_, sum)| *sum > 0.0)
            .collect();
        assert_eq!(paid_in, [(107, 10.0), (110, 42.1)], "December 2025 and March 2026");
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
async fn a_visit_that_moves_is_one_visit_and_slices_have_their_order_and_colours() {
    on_both(async |db| {
        let house = House::open(&db);
        let (moved, cancelled, physician) = (VisitId::new(), VisitId::new(), UserId::new());
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
                (booked, visit(cancelled, physician, "Radiology", "2026-11-05T09:00:00Z")),
                (booked, Event::VisitCancelled { visit_id: cancelled, patient_id: PatientId::new() }),
                (booked, Event::VisitCancelled { visit_id: cancelled, patient_id: PatientId::new() }),
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
        house.tell(&[(booked, visit(cancelled, physician, "Radiology", "2026-11-06T09:00:00Z"))]).await;
        house.counted().await;
        let stats = house.json("/api/analytics/stats").await;
        assert_eq!(stats["appointmentsThisMonth"], 5, "the cancelled one is booked anew");
    })
    .await;
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
                (day, message("sent")),
                (day, message("failed")),
                (day, message("unsent")),
                (day, message("unsent")),
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
            (&json!("email"), &json!(1), &json!(3))
        );
        assert_eq!(channel["failedPercent"], 50.0, "one of the two that a provider took");
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
