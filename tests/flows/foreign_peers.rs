//! Programs that others wrote: pynetdicom and dicomweb-client against the real program.

use std::process::Command;

use crate::support::images::Image;
use crate::support::server::{BOTH, Engine, Server, TOKEN, output, wait_for};

fn python(script: &str, server: &Server, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(storage::testing::told_by_test("MEDILINK_TEST_PYTHON"));
    command.arg(format!("{}/tests/peers/{script}", env!("CARGO_MANIFEST_DIR")));
    command.args([
        "--host",
        "127.0.0.1",
        "--dicom-port",
        &server.dicom.port().to_string(),
        "--ae-title",
        "MEDILINK",
    ]);
    command.args(["--base-url", &server.url("/dicom-web"), "--token", TOKEN]);
    output(command.args(more))
}

#[test]
fn pynetdicom_sends_what_it_likes_and_is_answered_by_the_book() {
    for engine in BOTH {
        let server = Server::start(engine);
        let (is_well, text) = python("pynetdicom_peer.py", &server, &[]);
        assert!(is_well, "{text}\n{}", server.log());
    }
}

#[test]
fn pynetdicom_finds_gets_and_moves() {
    for engine in BOTH {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let peers = format!("MOVER=127.0.0.1:{port}");
        let server = Server::start_with(engine, &[("MEDILINK_PEERS", &peers)]);
        let mut command = Command::new(storage::testing::told_by_test("MEDILINK_TEST_PYTHON"));
        command.arg(format!("{}/tests/peers/pynetdicom_query.py", env!("CARGO_MANIFEST_DIR")));
        command.args(["--dicom-port", &server.dicom.port().to_string(), "--calling-ae", "MOVER"]);
        let (is_well, text) = output(command.env("MOVE_PORT", port.to_string()));
        assert!(is_well, "{text}\n{}", server.log());
    }
}

#[test]
fn dicomweb_client_stores_searches_and_reads_back() {
    for engine in BOTH {
        let server = Server::start(engine);
        let (is_well, text) = python("dicomweb_peer.py", &server, &[]);
        assert!(is_well, "{text}\n{}", server.log());
    }
}

#[test]
fn highdicom_reads_back_its_report_and_its_segmentation() {
    for engine in BOTH {
        let server = Server::start(engine);
        let (is_well, text) = python("highdicom_peer.py", &server, &[]);
        assert!(is_well, "{text}\n{}", server.log());
    }
}

/// Short UIDs: this S3 server keeps a file whose name grows with the key's, up to the 255 bytes of a file name.
#[test]
fn the_bytes_may_lie_in_an_s3_server() {
    for engine in BOTH {
        let (url, options) = storage::testing::s3();
        let url = format!("{url}/{}", &uuid::Uuid::new_v4().to_string()[..8]);
        let mut settings = vec![("MEDILINK_ARCHIVE_URL".to_owned(), url)];
        settings.extend(options.into_iter().map(|(name, value)| (name.to_uppercase(), value)));
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut server = Server::start_with(engine, &settings);
        let image = Image {
            study: "1.2.3".into(),
            series: "1.2.4".into(),
            sop: "1.2.5".into(),
            ..Image::child_chest("bacterial")
        };
        assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200, "{}", server.log());
        server.kill();
        server.resume();
        assert!(server.retrieve(&image.wado()).unwrap() == image.file());
        let frames = format!("{}/frames/1", image.wado());
        let frame = server.get(&frames).header("Accept", "application/octet-stream").send().unwrap();
        assert_eq!(frame.status(), 200);
        assert_eq!(server.blob_count(), 0, "nothing lies in the folder");
        let analysed =
            wait_for("the analysis", || server.json("/api/dicom/analyses")[0]["confidence"].as_f64());
        assert!(analysed > 50.0);
    }
}

#[test]
fn only_configured_titles_may_send() {
    let image = Image::ct(1);
    let mut server = Server::start_with(Engine::Sqlite, &[("MEDILINK_ALLOWED_AE", "CT_ROOM_1")]);
    let file = server.data.path().join("one.dcm");
    std::fs::write(&file, image.file()).unwrap();
    server.kill();
    let mut strict = server.command();
    strict.args([
        "serve",
        "--http-listen",
        &server.http.to_string(),
        "--dicom-listen",
        &server.dicom.to_string(),
    ]);
    let mut child = strict.stderr(std::process::Stdio::null()).spawn().unwrap();
    wait_for("the doors", || server.get("/ready").send().ok().filter(|it| it.status() == 200));
    let (is_sent, log) = output(server.storescu(std::slice::from_ref(&file)).args(["-aet", "STRANGER"]));
    assert!(!is_sent && log.contains("Calling AE Title Not Recognized"), "{log}");
    let mut known = Command::new("/usr/bin/storescu");
    known
        .args(["-aet", "CT_ROOM_1", "-aec", "MEDILINK", "127.0.0.1", &server.dicom.port().to_string()])
        .arg(file);
    let (is_sent, log) = output(&mut known);
    assert!(is_sent, "{log}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn pynetdicom_asks_for_commitment_is_forwarded_to_and_shows_its_key() {
    for engine in BOTH {
        let server = Server::start(engine);
        let (is_well, text) = python("commitment_peer.py", &server, &[]);
        assert!(is_well, "{text}\n{}", server.log());
    }
}
