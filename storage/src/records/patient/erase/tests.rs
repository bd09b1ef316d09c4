//! Erasures on both databases.

use chrono::TimeDelta;
use clinical::id::{CustomerId, DeliveryId, InvoiceId, NotificationId, PushTargetId, UserId};
use clinical::person::Demographics;
use clinical::role::Role;
use serde_json::json;

use super::*;
use crate::live::{Listing, NewMessage, To, say};
use crate::records::member::{Member, Position};
use crate::records::patient::tests::{A_WHILE, facts, postgres, seen, study_of};
use crate::records::study::Study;
use crate::records::user::User;
use crate::testing::{count, instance_facts, now, on_both, place_of, scored};

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// The default: ten years from the day of storing, or from the Study Date where that is later.
#[tokio::test]
async fn an_erasure_removes_who_it_was_and_keeps_what_is_young() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        let instance = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let run = scored(place.study_id, instance, "aa", 0.75);
        crate::records::analysis::Analysis::record(&mut tx, CLINIC, &run, now()).await.unwrap();
        let old = Study::find(&mut tx, CLINIC, place.study_id).await.unwrap();
        let made_old = "UPDATE studies SET stored_at = $1 WHERE study_id = $2";
        let long_ago = now() - TimeDelta::days(3_700);
        sql(made_old).bind(long_ago).bind(old.study_id).execute(&mut tx).await.unwrap();
        let id = old.patient_id;
        let young = study_of(&mut tx, id, "1.2.4", Some("20200301")).await;
        let undated = study_of(&mut tx, id, "1.2.5", Some("2010")).await;
        tx.commit().await.unwrap();

        let mut tx = db.begin().await.unwrap();
        let erased = Patient::erase(&mut tx, CLINIC, id, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((erased.studies, erased.kept_studies, erased.retention_years), (1, 2, 10));
        assert_eq!(erased.blob_keys, ["1.2.3.1.1/aa.dcm"]);
        assert_eq!(erased.kept_until, now().date_naive().checked_add_months(Months::new(120)));
        for table in ["instances", "analyses", "findings", "series"] {
            assert_eq!(count(&db, table).await, 0, "{table}");
        }
        let mut tx = db.begin().await.unwrap();
        assert!(Study::find(&mut tx, CLINIC, old.study_id).await.is_err());
        for kept in [young, undated] {
            assert!(Study::find(&mut tx, CLINIC, kept).await.is_ok());
        }
        let left = Patient::find(&mut tx, CLINIC, id).await.unwrap();
        assert_eq!((left.demographics, left.is_restricted), (Demographics::default(), true));
        assert_eq!(left.erased_at, Some(now()));
        let later = now() + TimeDelta::days(3_700);
        let rest = Patient::erase(&mut tx, CLINIC, id, later).await.unwrap();
        assert_eq!((rest.studies, rest.kept_studies, rest.kept_until), (2, 0, None));
    })
    .await;
}

/// Study Date is what the sender chose, and a locked study stays as it is.
#[tokio::test]
async fn an_erasure_removes_no_study_early_for_its_date_and_no_locked_one() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let id = seen(&mut tx, &facts("P1"), "1.2.3").await;
        let kept = study_of(&mut tx, id, "1.2.3", Some("19000101")).await;
        let erased = Patient::erase(&mut tx, CLINIC, id, now()).await.unwrap();
        assert_eq!((erased.studies, erased.kept_studies), (0, 1));
        assert_eq!(erased.kept_until, now().date_naive().checked_add_months(Months::new(120)));

        let lock = "UPDATE studies SET locked_at = $1";
        sql(lock).bind(Some(now())).execute(&mut tx).await.unwrap();
        let later = now() + TimeDelta::days(3_700);
        let erased = Patient::erase(&mut tx, CLINIC, id, later).await.unwrap();
        assert_eq!((erased.studies, erased.kept_studies, erased.kept_until), (0, 1, None));
        assert!(Study::find(&mut tx, CLINIC, kept).await.is_ok());
        assert!(Patient::find(&mut tx, CLINIC, id).await.unwrap().is_restricted);
        sql(lock).bind(None::<DateTime<Utc>>).execute(&mut tx).await.unwrap();
        assert_eq!(Patient::erase(&mut tx, CLINIC, id, later).await.unwrap().studies, 1);
    })
    .await;
}

#[tokio::test]
async fn an_erased_patient_is_found_by_no_identifier() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let id = seen(&mut tx, &facts("P1"), "1.2.3").await;
        let merged = seen(&mut tx, &facts("P2"), "1.2.4").await;
        Patient::merge(&mut tx, CLINIC, id, merged, now()).await.unwrap();
        assert_eq!(Patient::erase(&mut tx, CLINIC, id, now()).await.unwrap().identifiers, 2);
        assert_ne!(seen(&mut tx, &facts("P1"), "1.2.5").await, id);
        let pointer = Patient::find(&mut tx, CLINIC, merged).await.unwrap();
        assert_eq!(pointer.demographics, Demographics::default(), "the merged record's name is gone as well");
        assert!(Patient::erase(&mut tx, ClinicId::new(), id, now()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_merged_record_is_not_erased() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let id = seen(&mut tx, &facts("P1"), "1.2.3").await;
        let merged = seen(&mut tx, &facts("P2"), "1.2.4").await;
        Patient::merge(&mut tx, CLINIC, id, merged, now()).await.unwrap();
        let refused = Patient::erase(&mut tx, CLINIC, merged, now()).await;
        assert!(matches!(refused, Err(EraseError::Merged)));
    })
    .await;
}

#[tokio::test]
async fn an_erasure_waits_for_an_image_that_is_being_stored() {
    let db = postgres().await;
    let mut tx = db.begin().await.unwrap();
    let id = seen(&mut tx, &facts("P1"), "1.2.3").await;
    tx.commit().await.unwrap();

    let mut storing = db.begin().await.unwrap();
    assert_eq!(seen(&mut storing, &facts("P1"), "1.2.4").await, id);
    let erasing = async {
        let mut tx = db.begin().await.unwrap();
        let erased = Patient::erase(&mut tx, CLINIC, id, now()).await.unwrap();
        tx.commit().await.unwrap();
        erased
    };
    let mut erasing = std::pin::pin!(erasing);
    assert!(tokio::time::timeout(A_WHILE, &mut erasing).await.is_err(), "it waits");
    study_of(&mut storing, id, "1.2.4", None).await;
    storing.commit().await.unwrap();
    assert_eq!(erasing.await.kept_studies, 1, "the study was seen");
}

async fn member(tx: &mut Tx, position: &Position) -> UserId {
    let address = format!("{}@example.org", Uuid::new_v4()).parse().unwrap();
    let user = User::create(tx, &address, "A person", None, now()).await.unwrap().user_id;
    Member::add(tx, CLINIC, user, position, now()).await.unwrap();
    user
}

async fn told(tx: &mut Tx, people: &[UserId]) -> NotificationId {
    let body = json!({});
    let new = NewMessage { kind: "notification", body: &body, listing: Listing::Listed, dedupe_key: None };
    let said = say(tx, CLINIC, To::People(people), &new, now()).await.unwrap().unwrap();
    let insert =
        "INSERT INTO notification_deliveries (delivery_id, clinic_id, message_id, user_id, channel, state,
                                                       tries, next_at, created_at)
                  VALUES ($1, $2, $3, $4, 'email', 'sent', 1, $5, $5)";
    for user in people {
        let delivery = sql(insert).bind(DeliveryId::new()).bind(CLINIC).bind(said.notification_id);
        delivery.bind(*user).bind(now()).execute(tx).await.unwrap();
    }
    said.notification_id
}

async fn payer(tx: &mut Tx, id: PatientId) -> CustomerId {
    let customer = CustomerId::new();
    let insert =
        "INSERT INTO billing_customers (customer_id, clinic_id, patient_id, name, email, phone, created_at,
                                                 changed_at)
                  VALUES ($1, $2, $3, 'Ada', 'ada@example.org', '+4930123456', $4, $4)";
    sql(insert).bind(customer).bind(CLINIC).bind(id).bind(now()).execute(tx).await.unwrap();
    customer
}

struct Payer(String, Option<String>);

impl FromRow for Payer {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self(row.get("name")?, row.get("email")?))
    }
}

#[tokio::test]
async fn an_erasure_removes_what_the_patient_was_told_and_how_to_reach_who_pays() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let id = seen(&mut tx, &facts("P1"), "1.2.3").await;
        let own = Position { patient_id: Some(id), ..Position::of(Role::Patient) };
        let (ada, eve) = (member(&mut tx, &own).await, member(&mut tx, &Position::of(Role::Doctor)).await);
        told(&mut tx, &[ada]).await;
        let of_both = told(&mut tx, &[ada, eve]).await;
        for user in [ada, eve] {
            let insert =
                "INSERT INTO push_targets (target_id, clinic_id, user_id, kind, platform, digest, sealed,
                                                    created_at, seen_at)
                          VALUES ($1, $2, $3, 'fcm', 'ios', $4, '', $5, $5)";
            let target = sql(insert).bind(PushTargetId::new()).bind(CLINIC).bind(user);
            target.bind(user.to_string()).bind(now()).execute(&mut tx).await.unwrap();
        }
        let (billed, idle) = (payer(&mut tx, id).await, payer(&mut tx, id).await);
        let invoice =
            "INSERT INTO invoices (invoice_id, clinic_id, number, customer_id, status, currency, description,
                                             net_minor, discount_minor, tax_minor, total_minor, paid_minor,
                                             refunded_minor, reminders, created_by, created_at, changed_at)
                       VALUES ($1, $2, 1, $3, 'open', 'EUR', '', 1, 0, 0, 1, 0, 0, 0, 'test', $4, $4)";
        let invoice = sql(invoice).bind(InvoiceId::new()).bind(CLINIC).bind(billed);
        invoice.bind(now()).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = db.begin().await.unwrap();
        assert_eq!(Patient::erase(&mut tx, CLINIC, id, now()).await.unwrap().kept_payers, 1);
        tx.commit().await.unwrap();
        for table in ["live_messages", "live_recipients", "notification_deliveries", "push_targets"] {
            assert_eq!(count(&db, table).await, 1, "{table}: what is Eve's");
        }
        let mut read = db.read().await.unwrap();
        let left = crate::live::inbox::said(&mut read, CLINIC, of_both).await;
        assert!(left.is_ok(), "what Eve was told, too");
        for (customer, name) in [(billed, "Ada"), (idle, "")] {
            let find = "SELECT name, email FROM billing_customers WHERE customer_id = $1";
            let Payer(kept, email) = sql(find).bind(customer).fetch_one(&mut read).await.unwrap();
            assert_eq!((kept.as_str(), email), (name, None));
        }
    })
    .await;
}
