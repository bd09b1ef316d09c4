//! The list, what is unread, what is sent to whom, and wishes.

use clinical::id::{NotificationId, UserId};
use clinical::role::Role;
use gate::testing::TOKEN;
use http::Method;
use serde_json::{Value, json};
use storage::records::clinic::Clinic;
use storage::records::member::{Member, Position};
use storage::testing::{count, now, on_both};

use crate::support::{CLINIC, House};

const PATH: &str = "/api/v1/notifications";

#[tokio::test]
async fn what_is_told_stands_unread_in_the_list_until_it_is_read() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let (_, of_eve) = house.person(Role::Nurse).await;
        let body = json!({"userId": ada, "title": "Hello", "message": "One\nTwo", "data": {"studyId": "1"},
                          "actionUrl": "/studies/1", "category": "clinical", "urgency": "high"});
        let sent = house.post(PATH, &of_eve, body).await;
        assert_eq!(sent.status.as_u16(), 201, "{:?}", sent.body);
        assert_eq!((&sent.json()["recipients"], &sent.json()["leftOut"]), (&json!(1), &json!([])));
        let list = house.get(PATH, &of_ada).await;
        assert_eq!(list[0]["title"], "Hello");
        assert_eq!((&list[0]["body"], &list[0]["isRead"]), (&json!("One\nTwo"), &json!(false)));
        assert_eq!((&list[0]["link"], &list[0]["type"]), (&json!("/studies/1"), &json!("notification")));
        assert_eq!(house.get(&format!("{PATH}/unread-count"), &of_ada).await["count"], 1);
        assert_eq!(house.get(PATH, &of_eve).await, json!([]), "nobody else's");

        let id = list[0]["id"].as_str().unwrap();
        let read = |token: String, id: String| {
            let house = &house;
            async move { house.call(Method::PATCH, &format!("{PATH}/{id}/read"), Some(&token), None).await }
        };
        assert_eq!(read(of_eve.clone(), id.to_owned()).await.problem().0, 404, "not hers");
        assert_eq!(read(of_ada.clone(), NotificationId::new().to_string()).await.problem().0, 404);
        assert_eq!(read(of_ada.clone(), id.to_owned()).await.status.as_u16(), 204);
        assert_eq!(house.get(&format!("{PATH}/unread-count"), &of_ada).await["count"], 0);
        assert_eq!(house.get(&format!("{PATH}?unreadOnly=true"), &of_ada).await, json!([]));
        assert_eq!(house.get(&format!("{PATH}/{id}"), &of_ada).await["isRead"], true);
        let gone = house.call(Method::DELETE, &format!("{PATH}/{id}"), Some(&of_ada), None).await;
        assert_eq!(gone.status.as_u16(), 204);
        assert_eq!(house.get(PATH, &of_ada).await, json!([]));
        assert_eq!(house.get(PATH, TOKEN).await, json!([]), "who has the service's token has an empty list");
    })
    .await;
}

#[tokio::test]
async fn a_bulk_is_told_whole_or_not_at_all_and_a_role_is_told_at_once() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let (eve, of_eve) = house.person(Role::Doctor).await;
        let (_, patient) = house.person(Role::Patient).await;
        let stranger = UserId::new();
        let one = |user: UserId, title: &str| json!({"userId": user, "title": title, "body": "b"});
        let bulk = json!({"notifications": [one(ada, "1"), one(stranger, "2"), one(eve, "3")]});
        let sent = house.post(&format!("{PATH}/bulk"), &of_ada, bulk).await.json();
        let counts: Vec<&Value> = sent.as_array().unwrap().iter().map(|it| &it["recipients"]).collect();
        assert_eq!(counts, [1, 0, 1]);
        assert_eq!(sent[1]["leftOut"], json!([stranger]));
        let half = json!({"notifications": [one(ada, "4"), one(eve, "bad\r\nBcc: x@example.org")]});
        let refused = house.post(&format!("{PATH}/bulk"), &of_ada, half).await;
        assert_eq!(refused.problem(), (422, "invalid-notification".into()));
        assert_eq!(house.get(PATH, &of_ada).await.as_array().unwrap().len(), 1, "none of it");

        let all = json!({"role": "DOCTOR", "title": "Round", "body": "b", "dedupeKey": "round-1"});
        let sent = house.post(&format!("{PATH}/broadcast"), &of_ada, all.clone()).await;
        assert_eq!(sent.json()["recipients"], 2);
        let again = house.post(&format!("{PATH}/broadcast"), &of_ada, all.clone()).await;
        assert_eq!(
            (&again.json()["recipients"], &again.json()["id"]),
            (&json!(0), &Value::Null),
            "told once"
        );
        assert_eq!(house.get(PATH, &of_eve).await.as_array().unwrap().len(), 2);
        let refused = house.post(&format!("{PATH}/broadcast"), &patient, all).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()));
        let marked = house.post(&format!("{PATH}/read-all"), &of_eve, json!({})).await;
        assert_eq!(marked.json()["count"], 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_notification_is_refused_and_nothing_is_told() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Doctor).await;
        let with = |change: Value| {
            let mut body = json!({"userId": ada, "title": "t", "body": "b"});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            body
        };
        for (body, code) in [
            (with(json!({"title": "a\nb"})), "invalid-notification"),
            (with(json!({"body": "\u{0}"})), "invalid-notification"),
            (with(json!({"link": "https://evil.example"})), "invalid-notification"),
            (with(json!({"data": {"a b": "c"}})), "invalid-notification"),
            (with(json!({"channels": ["pigeon"]})), "invalid-json"),
            (with(json!({"surprise": 1})), "invalid-json"),
            (json!({"title": "t", "body": "b"}), "invalid-recipients"),
        ] {
            let refused = house.post(PATH, &of_ada, body.clone()).await;
            assert_eq!(refused.problem(), (422, code.into()), "{body}");
        }
        assert_eq!(count(&db, "live_messages").await, 0);
    })
    .await;
}

#[tokio::test]
async fn wishes_are_kept_and_a_machine_has_none() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (_, of_ada) = house.person(Role::Patient).await;
        let path = format!("{PATH}/preferences");
        assert_eq!(house.get(&path, &of_ada).await["digest"], "off");
        let wishes = json!({"channels": {"sms": false}, "categories": {"billing": {"email": false}},
                            "quietHours": {"start": "22:00", "end": "07:00"}, "timeZone": "Asia/Kolkata",
                            "digest": "daily", "digestAt": "09:30", "locale": "de", "phone": "+49 (30) 1234567"});
        let kept = house.put(&path, &of_ada, wishes.clone()).await.json();
        assert_eq!((&kept["phone"], &kept["digestAt"]), (&json!("+49301234567"), &json!("09:30")));
        assert_eq!(house.get(&path, &of_ada).await, kept);
        let odd = house.put(&path, &of_ada, json!({"timeZone": "Moon/Tycho"})).await;
        assert_eq!(odd.problem(), (422, "invalid-preferences".into()));
        assert_eq!(house.put(&path, TOKEN, wishes).await.problem(), (403, "people-only".into()));
    })
    .await;
}

/// The subscription's keys are those of RFC 8291, section 5.
#[tokio::test]
async fn devices_and_browsers_are_registered_once_and_an_inside_address_is_refused() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (_, of_ada) = house.person(Role::Patient).await;
        let (_, of_eve) = house.person(Role::Patient).await;
        let token = json!({"token": "fcm-token-1", "platform": "android", "deviceId": "phone"});
        let first = house.post("/api/mobile/push-token", &of_ada, token.clone()).await;
        assert_eq!(first.status.as_u16(), 201, "{:?}", first.body);
        let again = house.post("/api/mobile/push-token", &of_ada, token.clone()).await.json();
        assert_eq!((&again["id"], &again["kind"]), (&first.json()["id"], &json!("fcm")));
        let targets = format!("{PATH}/push-targets");
        assert_eq!(house.get(&targets, &of_ada).await.as_array().unwrap().len(), 1);
        house.post("/api/mobile/push-token", &of_eve, token).await;
        assert_eq!(house.get(&targets, &of_ada).await, json!([]), "the device is somebody else's now");

        let browser = |endpoint: &str| {
            json!({"endpoint": endpoint, "expirationTime": null, "keys": {
                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                "auth": "BTBZMqHH6r4Tts7J_aSIgg"}})
        };
        let path = format!("{PATH}/push-subscriptions");
        let taken = house.post(&path, &of_ada, browser("https://push.example.net/push/1")).await;
        assert_eq!((taken.status.as_u16(), &taken.json()["kind"]), (201, &json!("web_push")));
        for inside in ["https://127.0.0.1/push", "https://[::1]/push", "https://169.254.169.254/latest", "http://push.example.net/1", "https://localhost/x", "file:///etc/passwd"] {
            let refused = house.post(&path, &of_ada, browser(inside)).await;
            assert_eq!(refused.problem(), (422, "invalid-subscription".into()), "{inside}");
        }
        let id = taken.json()["id"].as_str().unwrap().to_owned();
        let of_another = house.call(Method::DELETE, &format!("{targets}/{id}"), Some(&of_eve), None).await;
        assert_eq!(of_another.problem().0, 404);
        let gone = house.call(Method::DELETE, &format!("{targets}/{id}"), Some(&of_ada), None).await;
        assert_eq!(gone.status.as_u16(), 204);
        let bad = house.post("/api/mobile/push-token", &of_ada, json!({"token": "a b", "platform": "ios"})).await;
        assert_eq!(bad.problem(), (422, "invalid-token".into()));
    })
    .await;
}

#[tokio::test]
async fn a_device_is_registered_in_every_clinic_of_its_person() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (ada, of_ada) = house.person(Role::Patient).await;
        let mut tx = db.begin().await.unwrap();
        let north = Clinic::create(&mut tx, "North", "Africa/Nairobi", now()).await.unwrap().clinic_id;
        Member::add(&mut tx, north, ada, &Position::of(Role::Patient), now()).await.unwrap();
        tx.commit().await.unwrap();
        house.app.authenticator.forget_user(ada);
        let body = json!({"token": "fcm-token-1", "platform": "android"}).to_string();
        for clinic in [CLINIC, north] {
            let request = http::Request::post("/api/mobile/push-token")
                .header("content-type", "application/json")
                .header("authorization", format!("Bearer {of_ada}"))
                .header("x-clinic-id", clinic.to_string())
                .body(body.clone().into());
            let answer = gate::testing::send(&house.router, request.unwrap()).await;
            assert_eq!(answer.status.as_u16(), 201, "{:?}", answer.body);
        }
        assert_eq!(count(&db, "push_targets").await, 2, "one a clinic");
    })
    .await;
}

#[tokio::test]
async fn templates_and_settings_are_the_administrators_and_hold_nothing_unknown() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (_, admin) = house.person_at(&Position::of(Role::ClinicAdmin)).await;
        let (_, doctor) = house.person(Role::Doctor).await;
        let path = format!("{PATH}/templates/invoice_paid/de");
        let words = json!({"subject": "Danke für {{amount}}", "text": "{{body}}", "html": "<p>{{body}}</p>"});
        assert_eq!(house.put(&path, &doctor, words.clone()).await.problem().0, 403);
        assert_eq!(house.put(&path, &admin, words).await.status.as_u16(), 200);
        for (odd, code) in [
            (json!({"subject": "{{password}}", "text": "x"}), "template-unknown-value"),
            (json!({"subject": "x", "text": "{{#if amount}}"}), "template-broken"),
            (json!({"subject": "x\r\nBcc: y@example.org", "text": "x"}), "invalid-text"),
        ] {
            assert_eq!(house.put(&path, &admin, odd).await.problem(), (422, code.into()));
        }
        let nothing = json!({"subject": "x", "text": "x"});
        assert_eq!(
            house.put(&format!("{PATH}/templates/no_such/de"), &admin, nothing).await.problem().0,
            404
        );
        let list = house.get(&format!("{PATH}/templates"), &admin).await;
        assert_eq!(
            (list.as_array().unwrap().len(), &list[0]["subject"]),
            (1, &json!("Danke für {{amount}}"))
        );
        assert_eq!(house.call(Method::DELETE, &path, Some(&admin), None).await.status.as_u16(), 204);
        let settings = format!("{PATH}/settings");
        assert_eq!(house.get(&settings, &admin).await, json!({"showsDetails": false, "locale": "en"}));
        let changed = json!({"showsDetails": true, "locale": "fr"});
        assert_eq!(house.put(&settings, &admin, changed.clone()).await.json(), changed);
        assert_eq!(house.get(&settings, &admin).await, changed);
    })
    .await;
}
