//! Bad input by every door: the right status, a stable code, nothing left behind, and no harm to the others.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::images::Image;
use crate::support::server::{Engine, Server, drain, output};

fn hostile_files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "dcm"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert_eq!(files.len(), 10);
    files
}

/// Resident memory of a process in MiB, from /proc.
fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn an_upload_that_is_no_instance_gets_a_problem_with_its_code() {
    let server = Server::start(Engine::Sqlite);
    let whole = Image::ct(1).file();
    let cases: [(Vec<u8>, u16, &str); 5] = [
        (Vec::new(), 400, "empty"),
        (b"<html><body>Sign in</body></html>".to_vec(), 400, "not-dicom"),
        (whole[..whole.len() - 3].to_vec(), 400, "truncated"),
        (whole[133..].to_vec(), 400, "not-dicom"),
        (vec![0; 10_485_761], 413, "too-large"),
    ];
    for (bytes, status, code) in cases {
        let answer = server.upload("x.dcm", bytes).unwrap();
        assert_eq!(answer.status(), status, "{code}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{code}");
        let problem: Value = answer.json().unwrap();
        assert_eq!(problem["code"], code, "{problem}");
    }
    let wrong_type =
        server.post("/api/dicom/upload").header("Content-Type", "text/plain").body("x").send().unwrap();
    assert_eq!(wrong_type.status(), 415);
    let unknown = server.post("/api/dicom/analyze/0190b6a4-0000-7000-8000-000000000000").send().unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!((server.blob_count(), server.count("instances")), (0, 0));
}

#[test]
fn one_bad_instance_does_not_harm_its_batch() {
    let server = Server::start(Engine::Sqlite);
    let (first, last) = (Image::ct(1), Image::ct(2));
    let answer = server.stow(&[first.file(), b"<html>".to_vec(), last.file()]).unwrap();
    assert_eq!(answer.status(), 202);
    for image in [first, last] {
        assert!(server.retrieve(&image.wado()).unwrap() == image.file());
    }
    assert_eq!(server.stow(&[b"<html>".to_vec()]).unwrap().status(), 409);
    let no_parts = server
        .post("/dicom-web/studies")
        .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=frontier")
        .body("nothing of the kind")
        .send()
        .unwrap();
    assert_eq!(no_parts.status(), 400);
}

/// A known server cuts such an instance short and says 200.
#[test]
fn boundary_text_inside_pixel_data_is_data() {
    let server = Server::start(Engine::Sqlite);
    let mut image = Image::ct(1);
    for (place, text) in
        [(100, &b"\r\n--frontier"[..]), (500, b"--frontier--"), (900, b"\r\n--frontier-and-more\r\n\r\n")]
    {
        image.pixels[place..place + text.len()].copy_from_slice(text);
    }
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200, "{}", server.log());
    assert!(server.retrieve(&image.wado()).unwrap() == image.file());

    // A whole delimiter line and a head behind it cannot be told from a real one: refused, never shortened.
    let mut imitation = Image::ct(2);
    let text = b"\r\n--frontier\r\nContent-Type: application/dicom\r\n\r\n";
    imitation.pixels[300..300 + text.len()].copy_from_slice(text);
    let answer = server.stow(&[imitation.file()]).unwrap();
    assert!([400, 409].contains(&answer.status().as_u16()), "{}", answer.status());
    assert_eq!(server.retrieve(&imitation.wado()), None);
}

#[test]
fn hostile_files_by_every_door_leave_the_service_well_and_small() {
    let server = Server::start(Engine::Sqlite);
    let folder = server.data.path().join("hostile");
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in hostile_files() {
        let started = Instant::now();
        let uploaded = server.upload(&name, bytes.clone()).unwrap();
        assert!([200, 400, 413].contains(&uploaded.status().as_u16()), "{name}: {}", uploaded.status());
        if uploaded.status() == 200 {
            let id = uploaded.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
            let analysed = server.post(&format!("/api/dicom/analyze/{id}")).send().unwrap();
            assert!(analysed.status().as_u16() < 500, "{name}: {}", analysed.status());
        }
        assert!(
            [200, 202, 400, 409]
                .contains(&server.stow(std::slice::from_ref(&bytes)).unwrap().status().as_u16()),
            "{name}"
        );
        let path = folder.join(&name);
        std::fs::write(&path, bytes).unwrap();
        // dcmtk refuses most of them itself; what it does send must do no harm.
        output(&mut server.storescu(&[path]));
        assert!(started.elapsed() < Duration::from_secs(30), "{name} took {:?}", started.elapsed());
    }
    let (_, text) = output(server.command().arg("analyze").arg("--json").arg(&folder));
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(lines.len() >= 10, "{text}");
    assert!(!server.log().contains("panicked at"), "{}", server.log());
    let resident = resident_mib(server.pid());
    assert!(resident < 256, "{resident} MiB");
    let image = Image::ct(9);
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200);
}

/// A known server fails every probe while so many clients dawdle.
#[test]
fn slow_clients_on_either_port_do_not_fail_a_health_probe() {
    let server = Server::start(Engine::Sqlite);
    let mut slow = Vec::new();
    for index in 0..300 {
        let mut http = TcpStream::connect(server.http).unwrap();
        let head = "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n";
        let sent = if index % 2 == 0 { &head[..20] } else { head };
        http.write_all(sent.as_bytes()).unwrap();
        let mut dicom = TcpStream::connect(server.dicom).unwrap();
        dicom.write_all(&[1, 0, 0, 0][..index % 5]).unwrap();
        slow.push((http, dicom));
    }
    for _ in 0..20 {
        let started = Instant::now();
        assert_eq!(server.get("/health").send().unwrap().status(), 200);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    let (is_well, log) = output(std::process::Command::new("/usr/bin/echoscu").args([
        "-aec",
        "MEDILINK",
        "127.0.0.1",
        &server.dicom.port().to_string(),
    ]));
    assert!(is_well, "{log}");
    drop(slow);
}

#[test]
fn nothing_but_health_and_documents_is_given_without_the_token() {
    let server = Server::start(Engine::Sqlite);
    let client = reqwest::blocking::Client::new();
    for path in ["/health", "/ready", "/api/openapi.json"] {
        assert_eq!(client.get(server.url(path)).send().unwrap().status(), 200, "{path}");
    }
    for path in ["/metrics", "/api/dicom/analyses", "/api/findings", "/dicom-web/studies"] {
        assert_eq!(client.get(server.url(path)).send().unwrap().status(), 401, "{path}");
        let wrong = client.get(server.url(path)).bearer_auth("wrong-token-0123456789").send().unwrap();
        assert_eq!(wrong.status(), 401, "{path}");
    }
    let metrics = server.get("/metrics").send().unwrap().text().unwrap();
    assert!(metrics.contains("http_requests_total") && metrics.contains("medilink_jobs"), "{metrics}");
}

#[test]
fn garbage_on_the_dimse_port_ends_that_connection_alone() {
    let server = Server::start(Engine::Sqlite);
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 64], &[1, 0, 0xFF, 0xFF, 0xFF, 0xFF], &[4, 0, 0, 0, 0, 0]]
    {
        let mut stream = TcpStream::connect(server.dicom).unwrap();
        stream.write_all(garbage).unwrap();
        drain(&mut stream);
    }
    let image = Image::ct(4);
    let file = server.data.path().join("after.dcm");
    std::fs::write(&file, image.file()).unwrap();
    assert!(output(&mut server.storescu(&[file])).0);
}
