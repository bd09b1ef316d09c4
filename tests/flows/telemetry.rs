//! Traces and error reports reach whom they are meant for, and tell nothing of a person.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::images::Image;
use crate::support::server::{Engine, Server, TOKEN, output, program, wait_for};

/// What came: path, headers, body.
type Letters = Arc<Mutex<Vec<(String, BTreeMap<String, String>, Vec<u8>)>>>;

/// A server that takes every POST and keeps it, until the test ends.
fn collector() -> (SocketAddr, Letters) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, letters) = (listener.local_addr().unwrap(), Letters::default());
    let kept = Arc::clone(&letters);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || while take_one(&stream, &kept).is_some() {});
        }
    });
    (address, letters)
}

/// Reads one request with Content-Length and answers it.
fn take_one(mut stream: &TcpStream, kept: &Letters) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let header =
        |line: &String| line.split_once(": ").map(|(name, text)| (name.to_lowercase(), text.to_owned()));
    let headers: BTreeMap<_, _> = lines.iter().filter_map(header).collect();
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    kept.lock().unwrap().push((path, headers, body));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
}

/// Every body that came to `path`, one behind the other, as far as it is text.
fn told(letters: &Letters, path: &str) -> String {
    let letters = letters.lock().unwrap();
    let bodies = letters.iter().filter(|(to, ..)| to == path).map(|(.., body)| String::from_utf8_lossy(body));
    bodies.collect::<Vec<_>>().join("\n")
}

#[test]
fn spans_and_reports_tell_the_route_and_the_request_and_nothing_of_the_patient() {
    let (address, letters) = collector();
    let endpoint = format!("http://{address}");
    let dsn = format!("http://public@{address}/7");
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("SENTRY_DSN", dsn.as_str())];
    let mut server = Server::start_with(Engine::Sqlite, &settings);
    let image = Image::ct(1);
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200);
    let search = server.get("/dicom-web/studies?PatientName=Test^Ada&PatientID=P1");
    assert_eq!(search.header("X-Request-Id", "search-1").send().unwrap().status(), 200);
    // The row stays and its bytes go: the next retrieval fails.
    std::fs::remove_dir_all(server.data.path().join("archive/clinics")).unwrap();
    let retrieve = server.get(&format!("{}/rendered", image.wado())).header("X-Request-Id", "broken-1");
    assert_eq!(retrieve.send().unwrap().status(), 500);

    let envelopes = "/api/7/envelope/";
    let report = wait_for("the report", || {
        let told = told(&letters, envelopes);
        told.lines().find(|line| line.contains("broken-1")).map(|line| line.to_owned())
    });
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["tags"]["request.id"], "broken-1");
    assert!(report["message"].as_str().unwrap().contains("failed"), "{report}");
    for member in ["user", "request", "server_name", "contexts", "breadcrumbs"] {
        assert!(report.get(member).is_none(), "{member} in {report}");
    }

    assert!(server.stop(), "what waits is sent at the end: {}", server.log());
    let spans = told(&letters, "/v1/traces");
    for word in ["medilink", "GET /dicom-web/studies", "search-1", "broken-1", "/series/{", "http.route"] {
        assert!(spans.contains(word), "{word} in {spans}");
    }
    let kinds = letters.lock().unwrap();
    let kind = |path: &str| kinds.iter().find(|(to, ..)| to == path).unwrap().1["content-type"].clone();
    assert_eq!(kind("/v1/traces"), "application/x-protobuf");
    drop(kinds);

    for told in [spans, told(&letters, envelopes)] {
        for secret in ["Ada", "P1", TOKEN, "Bearer", image.sop.as_str(), image.study.as_str()] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}

#[test]
fn nothing_is_sent_unless_an_address_is_given_and_a_wrong_one_is_refused_by_name() {
    for (name, value) in [("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), ("SENTRY_DSN", "nowhere")] {
        let (is_well, text) = output(program().args(["models", "list"]).env(name, value));
        let setting = if name == "SENTRY_DSN" { "sentry_dsn" } else { "otlp_endpoint" };
        assert!(!is_well && text.contains(setting), "{text}");
    }
}
