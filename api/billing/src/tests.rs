//! Every list of the house is read along an index, however many rows there are.

use clinical::id::{ClinicId, CustomerId, InvoiceId, PatientId, PaymentId, SubscriptionId, UserId};
use storage::db::Conn;
use storage::plan::{assert_looks_up, assert_reads_along};
use storage::records::patient::Shown;
use storage::testing::{now, on_both};
use uuid::Uuid;

use crate::customer::{Customer, PaymentMethod};
use crate::inbox::Received;
use crate::invoice::{Invoice, InvoiceFilter, InvoiceStatus};
use crate::payment::{Payment, PaymentFilter, PaymentStatus};
use crate::plan::Plan;
use crate::returned::{Dispute, Refund};
use crate::subscription::Subscription;

const CLINIC: ClinicId = ClinicId::DEFAULT;

#[tokio::test]
async fn invoices_and_payments() {
    on_both(async |db| {
        let after = Some(Uuid::max());
        for shown in [Shown::Everybody, Shown::Unrestricted, Shown::OpenTo(UserId::new(), now())] {
            let all = InvoiceFilter::default();
            for (filter, index) in [
                (all, "invoices_newest"),
                (InvoiceFilter { status: Some(InvoiceStatus::Open), ..all }, "invoices_of_state"),
                (InvoiceFilter { patient: Some(PatientId::new()), ..all }, "invoices_of_patient"),
                (
                    InvoiceFilter { subscription: Some(SubscriptionId::new()), ..all },
                    "invoices_of_subscription",
                ),
            ] {
                assert_reads_along(&db, &[index], async |conn: &mut Conn| {
                    Invoice::list(conn, CLINIC, filter, shown, after, 9).await.unwrap();
                })
                .await;
            }
            let all = PaymentFilter::default();
            for (filter, index) in [
                (all, "payments_newest"),
                (PaymentFilter { status: Some(PaymentStatus::Asked), ..all }, "payments_of_state"),
                (PaymentFilter { patient: Some(PatientId::new()), ..all }, "payments_of_patient"),
                (PaymentFilter { invoice: Some(InvoiceId::new()), ..all }, "payments_of_invoice"),
            ] {
                assert_reads_along(&db, &[index], async |conn: &mut Conn| {
                    Payment::list(conn, CLINIC, filter, shown, after, 9).await.unwrap();
                })
                .await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn customers_subscriptions_and_plans() {
    on_both(async |db| {
        let after = Some(Uuid::max());
        for shown in [Shown::Everybody, Shown::Unrestricted, Shown::OpenTo(UserId::new(), now())] {
            for (patient, customers, subscriptions) in [
                (None, "billing_customers_newest", "subscriptions_newest"),
                (Some(PatientId::new()), "billing_customers_of_patient", "subscriptions_of_patient"),
            ] {
                assert_reads_along(&db, &[customers], async |conn: &mut Conn| {
                    Customer::list(conn, CLINIC, patient, shown, after, 9).await.unwrap();
                })
                .await;
                assert_reads_along(&db, &[subscriptions], async |conn: &mut Conn| {
                    Subscription::list(conn, CLINIC, patient, shown, after, 9).await.unwrap();
                })
                .await;
            }
        }
        assert_reads_along(&db, &["plans_newest"], async |conn: &mut Conn| {
            Plan::list(conn, CLINIC, after, 9).await.unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_one_record() {
    on_both(async |db| {
        let payment = PaymentId::new();
        assert_looks_up(&db, "refunds", async |conn: &mut Conn| {
            Refund::of(conn, CLINIC, payment).await.unwrap();
        })
        .await;
        assert_looks_up(&db, "disputes", async |conn: &mut Conn| {
            Dispute::of(conn, CLINIC, payment).await.unwrap();
        })
        .await;
        assert_looks_up(&db, "payment_methods_of_customer", async |conn: &mut Conn| {
            PaymentMethod::of(conn, CLINIC, CustomerId::new()).await.unwrap();
        })
        .await;
        assert_looks_up(&db, "provider_events_waiting", async |conn: &mut Conn| {
            Received::waiting(conn, CLINIC, now(), 9).await.unwrap();
        })
        .await;
    })
    .await;
}
