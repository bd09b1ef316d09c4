//! `medilink demo activity`: what it says that analytics must answer, analytics answers.

use serde_json::Value;

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

        let (is_well, text) = output(server.command().args(["analytics", "rebuild"]));
        assert!(is_well && text.contains(" 0 of them other than before"), "{text}");
        for (path, answer) in &expected {
            assert_eq!(server.json(path), *answer, "{engine:?} {path}, counted anew");
        }

        let (is_well, text) = output(server.command().args(["demo", "activity", "--json"]));
        assert!(!is_well && text.contains("numbers of its own"), "{text}");
    }
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
