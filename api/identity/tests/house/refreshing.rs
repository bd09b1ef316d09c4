//! Refresh tokens: each once, an old one ends the session, a double send does not.

use chrono::TimeDelta;
use clinical::role::Role;
use serde_json::json;
use storage::testing::on_both;

use crate::support::{House, refused, text};

#[tokio::test]
async fn a_refresh_token_is_exchanged_for_the_next_one() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (_, mut refresh) = house.tokens("ada@example.org").await;
        for _ in 0..5 {
            house.pass(TimeDelta::minutes(14));
            let answer = house.refresh(&refresh).await;
            assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
            let next = text(&answer, "refresh_token");
            assert_ne!(next, refresh);
            assert_eq!(house.get("/api/v1/me", &text(&answer, "access_token")).await.status, 200);
            refresh = next;
        }
        let named = json!({"refresh_token": refresh, "grant_type": "refresh_token"});
        assert_eq!(house.post("/api/v1/auth/refresh", "", named).await.status, 200);
    })
    .await;
}

/// RFC 9700, section 4.14.2.
#[tokio::test]
async fn an_old_refresh_token_that_comes_again_ends_the_session() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (_, stolen) = house.tokens("ada@example.org").await;
        let (elsewhere, _) = house.tokens("ada@example.org").await;
        let answer = house.refresh(&stolen).await;
        let (access, next) = (text(&answer, "access_token"), text(&answer, "refresh_token"));
        assert_eq!(house.get("/api/v1/me", &access).await.status, 200);

        house.pass(TimeDelta::seconds(11));
        assert_eq!(house.refresh(&stolen).await.problem(), refused(401, "invalid-grant"));
        assert_eq!(house.refresh(&next).await.problem(), refused(401, "invalid-grant"));
        assert_eq!(house.get("/api/v1/me", &access).await.problem(), refused(401, "token-invalid"));
        assert_eq!(house.get("/api/v1/me", &elsewhere).await.status, 200, "another sign-in goes on");
        assert!(house.trail().await.contains(&"account:refresh denied".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_is_sent_twice_at_once_gets_the_same_next_token() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (_, refresh) = house.tokens("ada@example.org").await;
        let answers = tokio::join!(house.refresh(&refresh), house.refresh(&refresh), house.refresh(&refresh));
        let next = text(&answers.0, "refresh_token");
        for answer in [&answers.1, &answers.2] {
            assert_eq!(text(answer, "refresh_token"), next);
        }
        house.pass(TimeDelta::seconds(9));
        assert_eq!(
            text(&house.refresh(&refresh).await, "refresh_token"),
            next,
            "the answer was lost on its way"
        );
        let after = text(&house.refresh(&next).await, "refresh_token");
        let too_old = house.refresh(&refresh).await;
        assert_eq!(too_old.problem(), refused(401, "invalid-grant"), "two steps back is no double send");
        assert_eq!(house.refresh(&after).await.status, 401);
    })
    .await;
}

#[tokio::test]
async fn a_made_up_refresh_token_ends_nobodys_session() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (_, refresh) = house.tokens("ada@example.org").await;
        let other_end = if refresh.ends_with('A') { "E" } else { "A" };
        let forged = format!("{}{other_end}", &refresh[..refresh.len() - 1]);
        for bad in ["", "x", "mlr_", &forged, &"x".repeat(10_000)] {
            assert_eq!(house.refresh(bad).await.problem(), refused(401, "invalid-grant"));
        }
        assert_eq!(house.refresh(&refresh).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_a_month_after_its_sign_in_however_busy() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (_, mut refresh) = house.tokens("ada@example.org").await;
        let mut days = 0;
        loop {
            house.pass(TimeDelta::days(1));
            let answer = house.refresh(&refresh).await;
            if answer.status != 200 {
                break;
            }
            refresh = text(&answer, "refresh_token");
            days += 1;
        }
        assert_eq!(days, 29);
    })
    .await;
}
