//! How one asks, and takes an answer away.

use axum::body::Body;
use clinical::role::Role;
use gate::testing::{TOKEN, get, send, token_of};
use http::{Request, header};
use serde_json::{Value, json};
use storage::records::member::Position;
use storage::testing::on_both;

use crate::support::{CLINIC, House, paid};

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
            // Else the caller's own clinic's numbers would be taken for those of X.
            ("clinicId=X", "unknown-parameter"),
            ("form=2026-02-01", "unknown-parameter"),
        ] {
            let answer = get(&house.router, &format!("/api/analytics/stats?{query}")).await;
            assert_eq!(answer.problem(), (400, code.to_owned()), "{query}");
        }
        let answer = get(&house.router, "/api/analytics/export?report=secrets").await;
        assert_eq!(answer.problem(), (400, "invalid-query".to_owned()));
    })
    .await;
}

/// The path is that of the clinic application's mobile part.
#[tokio::test]
async fn what_an_app_tells_is_counted_under_its_words_and_prose_is_refused() {
    on_both(async |db| {
        let house = House::open(&db);
        let patient = token_of(&house.app, CLINIC, &Position::of(Role::Patient)).await;
        let tell = async |token: &str, body: Value| {
            let request = Request::post("/api/mobile/events")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(header::CONTENT_TYPE, "application/json");
            send(&house.router, request.body(Body::from(body.to_string())).unwrap()).await
        };
        let named = |names: &[&str]| {
            json!({"events": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()})
        };
        let told = tell(&patient, named(&["screen.opened", "login", "screen.opened"])).await;
        assert_eq!((told.status.as_u16(), told.json()), (202, json!({"taken": 3})));
        for names in [&[][..], &["Ada Mutua has a fever"], &["x"; 101]] {
            assert_eq!(tell(&patient, named(names)).await.problem(), (422, "invalid-events".to_owned()));
        }
        assert_eq!(tell(TOKEN, named(&["login"])).await.problem(), (403, "people-only".to_owned()));
        storage::outbox::relay::place_all(&db, storage::outbox::relay::Work::None).await.unwrap();
        house.counted().await;
        let platform = house.json("/api/analytics/platform").await;
        let expected = json!([{"event": "login", "count": 1}, {"event": "screen.opened", "count": 2}]);
        assert_eq!(platform["appEvents"], expected);
    })
    .await;
}
