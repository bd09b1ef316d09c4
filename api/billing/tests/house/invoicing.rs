//! Invoices: what they may hold, their numbers, and what becomes of those that nobody pays.

use billing::InvoiceMail;
use chrono::TimeDelta;
use clinical::job::{Job, Queue};
use clinical::role::Role;
use gate::testing::token_of;
use serde_json::{Value, json};
use storage::queue::{self, QueueLimits};
use storage::records::member::Position;
use storage::testing::{now, on_both};

use crate::fake::Mood;
use crate::support::{CLINIC, amounts, house};

#[tokio::test]
async fn sums_that_cannot_be_are_refused_and_nothing_is_written() {
    on_both(async |db| {
        let house = house(&db);
        let patient = house.patient("Doe^John").await;
        for (amount, currency) in [
            ("-1", "USD"),
            ("0", "USD"),
            ("0.001", "USD"),
            ("1.5", "JPY"),
            ("1", "XYZ"),
            ("99999999999999999999", "USD"),
            ("1e3", "USD"),
        ] {
            let body = format!(
                r#"{{"patientId":"{patient}","amount":{amount},"currency":"{currency}","description":"Visit"}}"#
            );
            let request = gate::testing::request(http::Method::POST, "/api/payments/generate-bill")
                .header("content-type", "application/json");
            let refused = gate::testing::send(&house.router, request.body(body.into()).unwrap()).await;
            assert_eq!(refused.problem().0, 422, "{amount} {currency}");
        }
        for amount in [json!(-5), json!(0), json!(1.5), json!(i64::MAX)] {
            let body = json!({"amount": amount, "currency": "usd"});
            assert_eq!(house.post("/api/payments/create-intent", body).await.problem().0, 422, "{amount}");
        }
        let card = json!({"amount": 5, "currency": "usd", "metadata": {"note": "4242 4242 4242 4242"}});
        let refused = house.post("/api/payments/create-intent", card).await;
        assert_eq!(refused.problem(), (422, "card-number-refused".into()));
        let names = json!({"patientId": patient, "amount": 5, "description": "Visit\r\nBcc: all"});
        assert_eq!(house.post("/api/payments/generate-bill", names).await.problem(), (422, "invalid-text".into()));
        let long_ago = json!({"patientId": patient, "amount": 5, "description": "Visit", "dueDate": "1999-01-01T00:00:00Z"});
        let refused = house.post("/api/payments/generate-bill", long_ago).await;
        assert_eq!(refused.json()["errors"][0]["pointer"], "#/dueDate");
        let nameless = house.post("/api/payments/create-intent", json!({"invoiceId": "nope"})).await;
        let detail = nameless.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("invoiceId: is the id or the number of an invoice"), "{detail}");
        let invoice = house.bill(1_000).await;
        let above = house.post("/api/v1/billing/payments", json!({"invoiceId": invoice, "amount": 1_001})).await;
        assert_eq!(above.problem(), (422, "amount-not-owed".into()));
        assert_eq!(storage::testing::count(&db, "payments").await, 0);
        assert_eq!(storage::testing::count(&db, "invoices").await, 1);
    })
    .await;
}

#[tokio::test]
async fn numbers_have_no_gaps_however_many_are_issued_at_once_and_some_fail() {
    on_both(async |db| {
        let house = std::sync::Arc::new(house(&db));
        let mut made = tokio::task::JoinSet::new();
        for number in 0..20 {
            let house = std::sync::Arc::clone(&house);
            made.spawn(async move {
                let quantity = if number % 4 == 0 { 0 } else { 1 };
                let body = json!({
                    "description": "Visit", "issue": true,
                    "lines": [{"description": "Visit", "unitAmount": 100, "quantity": quantity}]
                });
                house.post("/api/v1/billing/invoices", body).await.json()["number"].as_i64()
            });
        }
        let mut numbers: Vec<_> = made.join_all().await.into_iter().flatten().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=15).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_draft_is_owed_by_nobody_and_a_void_or_hopeless_invoice_neither() {
    on_both(async |db| {
        let house = house(&db);
        let body = json!({"description": "Visit", "lines": [{"description": "Visit", "unitAmount": 100, "taxRate": 1_900}]});
        let draft = house.post("/api/v1/billing/invoices", body).await.json();
        let id = draft["id"].as_str().unwrap();
        assert_eq!((&draft["number"], &draft["amount"]), (&Value::Null, &json!(119)));
        let owed = house.post("/api/payments/create-intent", json!({"invoiceId": id})).await;
        assert_eq!(owed.problem(), (409, "nothing-owed".into()));
        let to = async |word: &str| {
            house.post(&format!("/api/v1/billing/invoices/{id}/{word}"), Value::Null).await
        };
        assert_eq!(to("issue").await.json()["number"], 1);
        assert_eq!(to("issue").await.problem(), (409, "wrong-state".into()));
        let issued = amounts(&[("receivable", 119), ("revenue", -100), ("tax", -19)]);
        assert_eq!(house.balances().await, issued);
        let (begun, _) = house.begin(id).await;
        assert_eq!(to("void").await.json()["status"], "void");
        assert_eq!(house.balances().await, []);
        assert_eq!(house.payment(&begun).await["status"], "canceled", "nobody is to pay it any more");
        let lost = house.bill(500).await;
        house.post(&format!("/api/v1/billing/invoices/{lost}/uncollectible"), Value::Null).await;
        assert_eq!(house.balances().await, amounts(&[("bad_debt", 500), ("revenue", -500)]));
    })
    .await;
}

#[tokio::test]
async fn an_invoice_past_its_day_is_reminded_of_charged_again_and_given_up() {
    on_both(async |db| {
        let house = house(&db);
        let settings = json!({"settings": {"dueDays": 10, "reminderDays": [1, 5], "giveUpDays": 30}});
        assert_eq!(house.put("/api/v1/billing/config", settings).await.status, 200);
        let method = house.stored_method().await;
        let plan = house.plan(json!({"name": "Care", "amount": 3_000, "interval": "year"})).await;
        house.stripe.be(Mood::Declines);
        let (made, path) = house.subscribe(json!({"planId": plan, "paymentMethodId": method})).await;
        let invoice = made["invoiceId"].as_str().unwrap();
        house.pass(TimeDelta::days(11)).await;
        assert_eq!(house.invoice(invoice).await["reminders"], 1);
        house.stripe.be(Mood::Well);
        house.pass(TimeDelta::days(4)).await;
        let paid = house.invoice(invoice).await;
        assert_eq!((paid["status"].as_str(), paid["reminders"].as_i64()), (Some("paid"), Some(2)));
        assert_eq!(house.get(&path).await["status"], "active");
        let forgotten = house.bill(700).await;
        house.pass(TimeDelta::days(60)).await;
        assert_eq!(house.invoice(&forgotten).await["status"], "uncollectible");
    })
    .await;
}

#[tokio::test]
async fn an_invoice_that_nobody_is_reminded_of_is_given_up_all_the_same() {
    on_both(async |db| {
        let house = house(&db);
        let settings = json!({"settings": {"dueDays": 10, "reminderDays": [], "giveUpDays": 30}});
        assert_eq!(house.put("/api/v1/billing/config", settings).await.status, 200);
        let invoice = house.bill(700).await;
        house.pass(TimeDelta::days(39)).await;
        assert_eq!(house.invoice(&invoice).await["status"], "open");
        house.pass(TimeDelta::days(1)).await;
        assert_eq!(house.invoice(&invoice).await["status"], "uncollectible");
    })
    .await;
}

#[tokio::test]
async fn an_invoice_issued_after_its_day_is_reminded_of_in_its_turn_and_no_day_is_out_of_reach() {
    on_both(async |db| {
        let house = house(&db);
        let settings = json!({"settings": {"reminderDays": [1, 5, 9], "giveUpDays": 30}});
        assert_eq!(house.put("/api/v1/billing/config", settings).await.status, 200);
        let due = async |at: String| {
            let lines = json!([{"description": "Visit", "unitAmount": 100}]);
            let body = json!({"description": "Visit", "issue": true, "lines": lines, "dueAt": at});
            house.post("/api/v1/billing/invoices", body).await
        };
        for odd in ["+262142-12-31T00:00:00Z", "2090-01-01T00:00:00Z", "1990-01-01T00:00:00Z"] {
            assert_eq!(due(odd.to_owned()).await.problem(), (422, "invalid-due-day".into()), "{odd}");
        }
        let invoice = due((now() - TimeDelta::days(90)).to_rfc3339()).await.json();
        let invoice = invoice["id"].as_str().unwrap();
        for (days, reminders) in [(1, 1), (3, 1), (1, 2), (3, 2), (1, 3), (10, 3)] {
            house.pass(TimeDelta::days(days)).await;
            assert_eq!(house.invoice(invoice).await["reminders"], reminders);
        }
        house.pass(TimeDelta::days(11)).await;
        assert_eq!(house.invoice(invoice).await["status"], "uncollectible");
    })
    .await;
}

#[tokio::test]
async fn a_payer_without_an_account_is_mailed_the_invoice_and_its_reminders_and_who_has_one_is_not() {
    on_both(async |db| {
        let house = house(&db);
        let patient = house.patient("Doe^John").await;
        let to_mail = async || {
            let job = queue::claim_from(&db, Queue::Email, QueueLimits::default(), now()).await.unwrap()?;
            let Job::MailInvoice { invoice_id, .. } = job.job else { panic!("{job:?}") };
            let mut tx = db.begin().await.unwrap();
            queue::finish(&mut tx, &job).await.unwrap();
            tx.commit().await.unwrap();
            Some(invoice_id)
        };
        let bill = async |payer: Value| {
            let customer = house.post("/api/payments/customers", payer).await.json();
            let lines = json!([{"description": "Visit", "unitAmount": 15_000}]);
            let body =
                json!({"description": "Visit", "customerId": customer["id"], "lines": lines, "issue": true});
            house.post("/api/v1/billing/invoices", body).await.json()["id"].as_str().unwrap().to_owned()
        };
        let send =
            async |id: &str| house.post(&format!("/api/v1/billing/invoices/{id}/send"), Value::Null).await;
        let id = bill(json!({"name": "An insurer", "email": "billing@insurer.example"})).await;
        let invoice = to_mail().await.expect("it is mailed");
        assert_eq!(invoice.to_string(), id);
        let mail = InvoiceMail::of(&db.of(CLINIC), CLINIC, invoice).await.unwrap().unwrap();
        assert_eq!((mail.to.as_str(), mail.number.as_str()), ("billing@insurer.example", "INV-000001"));
        assert_eq!((mail.amount.as_str(), mail.file_name.as_str()), ("150.00 USD", "invoice-000001.pdf"));
        assert!(mail.paper.starts_with(b"%PDF-"));
        assert_eq!(send(&id).await.status, 200);
        assert_eq!(to_mail().await, Some(invoice), "once more");
        house.post(&format!("/api/v1/billing/invoices/{id}/void"), Value::Null).await;
        assert!(InvoiceMail::of(&db.of(CLINIC), CLINIC, invoice).await.unwrap().is_none(), "it is void");

        let silent = bill(json!({"name": "A payer"})).await;
        assert_eq!(send(&silent).await.problem(), (409, "nobody-to-send".into()));
        token_of(&house.app, CLINIC, &Position { patient_id: Some(patient), ..Position::of(Role::Patient) })
            .await;
        bill(json!({"patientId": patient, "email": "john@example.org"})).await;
        assert_eq!(to_mail().await, None, "who has an account is told there");
    })
    .await;
}

/// Read back by poppler, which knows nothing of what wrote the file.
#[tokio::test]
async fn an_issued_invoice_is_had_on_paper_and_a_draft_is_not() {
    on_both(async |db| {
        let house = house(&db);
        let customer = house.post("/api/payments/customers", json!({"name": "Zoë Müller"})).await.json();
        let lines = json!([
            {"description": "Home care visit", "unitAmount": 7_550, "quantity": 2, "taxRate": 1_900},
            {"description": "Verband", "unitAmount": 1_000, "discountAmount": 250},
        ]);
        let body = json!({"description": "Pflege im Mai", "customerId": customer["id"], "lines": lines,
                          "currency": "EUR"});
        let draft = house.post("/api/v1/billing/invoices", body).await.json();
        let path = format!("/api/v1/billing/invoices/{}", draft["id"].as_str().unwrap());
        let refused = gate::testing::get(&house.router, &format!("{path}/pdf")).await;
        assert_eq!(refused.problem(), (409, "wrong-state".into()));
        house.post(&format!("{path}/issue"), Value::Null).await;
        let paper = gate::testing::get(&house.router, &format!("{path}/pdf")).await;
        assert_eq!((paper.status.as_u16(), paper.header("content-type")), (200, "application/pdf"));
        assert_eq!(paper.header("content-disposition"), "inline; filename=\"invoice-000001.pdf\"");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("invoice.pdf");
        std::fs::write(&file, &paper.body).unwrap();
        let read = std::process::Command::new("pdftotext").arg("-layout").arg(&file).arg("-").output();
        let read = read.expect("poppler's pdftotext is there: ./test installs it");
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let text = String::from_utf8(read.stdout).unwrap();
        // 2 * 75.50 with 19 %; 10.00 less 2.50.
        for told in [
            "INV-000001",
            "Zoë Müller",
            "Pflege im Mai",
            "Home care visit",
            "75.50",
            "19 %",
            "179.69",
            "Verband",
            "less 2.50",
            "7.50",
            "158.50 EUR",
            "28.69 EUR",
            "187.19 EUR",
            "1 / 1",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_invoice_is_sent_once_more_where_it_is_somebodys() {
    on_both(async |db| {
        let house = house(&db);
        let patient = house.patient("Doe^John").await;
        let body = json!({"patientId": patient, "amount": 5, "description": "Visit"});
        let bill = house.post("/api/payments/generate-bill", body).await.json();
        let send = |id: &str| format!("/api/v1/billing/invoices/{id}/send");
        let sent = house.post(&send(bill["id"].as_str().unwrap()), Value::Null).await;
        assert_eq!((sent.status.as_u16(), &sent.json()["status"]), (200, &json!("open")));
        let mut read = db.read().await.unwrap();
        let told = storage::outbox::list(&mut read, CLINIC, Some(&["invoice_sent"]), None, 9).await.unwrap();
        assert_eq!(told.len(), 1);
        let nobody = house.post(&send(&house.bill(100).await), Value::Null).await;
        assert_eq!(nobody.problem(), (409, "nobody-to-send".into()));
    })
    .await;
}
