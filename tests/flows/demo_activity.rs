//! `medilink demo activity`: what it says that analytics must answer, analytics answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::server::{BOTH, Server, output, wait_for};

/// The answers that the command prints, by their paths.
fn invented(server: &Server) -> serde_json::Map<String, Value> {
    let (is_well, text) = output(server.command().args(["demo", "activity", "--months", "14", "--json"]));
    assert!(is_well, "{text}");
    let begin = text.find("{\n").unwrap_or_else(|| panic!("{text}"));
    let answer: Value =
        serde_json::Deserializer::from_str(&text[begin..]).into_iter().next().unwrap().unwrap();
    answer.as_object().unwrap().clone()
}

/// A gauge of `/metrics`.
fn gauge(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").send().unwrap().text().unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_answers_are_those_that_were_counted_from_what_was_invented() {
    for engine in BOTH {
        let server = Server::start(engine);
        let expected = invented(&server);
        assert_eq!(expected.len(), 8);
        for (path, answer) in &expected {
            assert_eq!(server.json(path), *answer, "{engine:?} {path}");
        }
        assert!(expected["/api/analytics/stats"]["totalPatients"].as_i64().unwrap() > 400);

        // What Prometheus reads is what the trends add up to.
        let months = server.json("/api/analytics/monthly-trends?from=2020-01-01&to=2029-12-31");
        let months = months.as_array().unwrap();
        let visits: f64 = months.iter().map(|month| month["appointments"].as_f64().unwrap()).sum();
        let patients: f64 = months.iter().map(|month| month["patients"].as_f64().unwrap()).sum();
        assert_eq!(gauge(&server, "medilink_analytics{metric=\"visits\""), visits);
        assert_eq!(gauge(&server, "medilink_analytics{metric=\"patients\""), patients);

        money_is_there(&server, &expected["/api/analytics/billing"]);

        let (is_well, text) = output(server.command().args(["analytics", "rebuild"]));
        assert!(is_well && text.contains(" 0 of them other than before"), "{text}");
        for (path, answer) in &expected {
            assert_eq!(server.json(path), *answer, "{engine:?} {path}, counted anew");
        }

        let (is_well, text) = output(server.command().args(["demo", "activity", "--json"]));
        assert!(!is_well && text.contains("numbers of its own"), "{text}");
    }
}

/// Every page of a list.
fn all(server: &Server, path: &str) -> Vec<Value> {
    let (mut found, mut next) = (Vec::new(), Some(format!("{path}?limit=1000")));
    while let Some(page) = next {
        let answer = server.get(&page).send().unwrap();
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.trim_start_matches('<').split_once('>').unwrap().0.to_owned());
        found.extend(answer.json::<Vec<Value>>().unwrap());
    }
    found
}

/// The invoices and payments that the numbers tell of are rows in the lists, in books that sum to zero.
fn money_is_there(server: &Server, told: &Value) {
    let invoices = all(server, "/api/v1/billing/invoices");
    let payments = all(server, "/api/v1/billing/payments");
    let mut numbers: Vec<_> = invoices.iter().map(|it| it["number"].as_i64().unwrap()).collect();
    numbers.reverse();
    assert!(numbers.len() > 400 && numbers.iter().copied().eq(1..=numbers.len() as i64), "gaps: {numbers:?}");
    let month = &told["from"].as_str().unwrap()[..7];
    assert_eq!(told["timeZone"], "UTC");
    for line in told["byCurrency"].as_array().unwrap() {
        let sum = |rows: &[Value], at: &str, amount: &str| {
            let of_month = rows.iter().filter(|row| {
                row["currency"] == line["currency"]
                    && row[at].as_str().is_some_and(|at| at.starts_with(month))
            });
            let amounts: Vec<_> = of_month.map(|row| row[amount].as_i64().unwrap()).collect();
            json!([amounts.len(), amounts.iter().sum::<i64>()])
        };
        let both = |count: &str, minor: &str| json!([line[count], line[minor]]);
        assert_eq!(sum(&invoices, "issuedAt", "amount"), both("invoicesIssued", "issuedMinor"));
        assert_eq!(sum(&invoices, "paidAt", "amountPaid"), both("invoicesPaid", "paidMinor"));
        assert_eq!(sum(&payments, "settledAt", "amountCaptured"), both("payments", "receivedMinor"));
    }
    let states: BTreeSet<_> = invoices.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["open", "paid", "partly_refunded", "refunded", "uncollectible"].into());
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for balance in server.json("/api/v1/billing/balances").as_array().unwrap() {
        *sums.entry(balance["currency"].to_string()).or_default() += balance["amount"].as_i64().unwrap();
    }
    assert!(sums.len() == 2 && sums.values().all(|sum| *sum == 0), "{sums:?}");
    let (is_well, text) = output(server.command().args(["billing", "reconcile"]));
    assert!(is_well && text.contains(" 0 differences"), "{text}");
}

/// What is told while the service runs is in its numbers a moment later.
#[test]
fn a_patient_who_is_registered_is_counted() {
    for engine in BOTH {
        let server = Server::start(engine);
        let person = serde_json::json!({
            "name": {"family": "Mutua", "given": "Ada"}, "sex": "female", "birthDate": "1990-05-01",
        });
        assert_eq!(server.post("/api/v1/patients").json(&person).send().unwrap().status(), 201);
        wait_for("the patient to be counted", || {
            let answer = server.json("/api/analytics/demographics");
            (answer["femalePatients"] == 1 && answer["ageGroups"]["31-50"] == 1).then_some(())
        });
        assert_eq!(server.json("/api/analytics/stats")["totalPatients"], 1);
    }
}
