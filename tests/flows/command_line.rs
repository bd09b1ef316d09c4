//! The commands as a person or a script runs them.

use serde_json::Value;

use crate::support::images::Image;
use crate::support::server::{Engine, Server, output, program};

fn medilink(arguments: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    output(
        command
            .args(arguments)
            .current_dir(folder.path())
            .env("MEDILINK_DATA_DIR", folder.path().join("data")),
    )
}

#[test]
fn analyze_prints_a_line_for_each_image_and_network() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("child.dcm", Image::child_chest("normal").file());
    write("ct.dcm", Image::ct(1).file());
    write("page.dcm", b"<html>".to_vec());
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("pipe")).unwrap();
    let path = folder.path().to_str().unwrap();
    let (is_well, text) =
        medilink(&["analyze", path, "--json", "--network", "pneumonia224", "--network", "breast28"]);
    assert!(!is_well, "one file could not be read");
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |name: &str| {
        let is_of = |it: &&Value| it["file"].as_str().is_some_and(|file| file.ends_with(name));
        lines.iter().filter(is_of).collect::<Vec<_>>()
    };

    // breast28 is for ultrasound: a radiograph gets no line from it.
    let child = of("child.dcm");
    assert_eq!(child.len(), 1, "{text}");
    assert_eq!(child[0]["network"], "pneumonia224");
    let pneumonia =
        child[0]["labels"].as_array().unwrap().iter().find(|it| it["label"] == "pneumonia").unwrap();
    // models/reference/pneumonia224.toml: 1 - 0.9371385 by ONNX Runtime.
    assert!((pneumonia["probability"].as_f64().unwrap() - 0.062_861_5).abs() < 1e-3, "{pneumonia}");
    assert_eq!(pneumonia["is_positive"], false);
    assert_eq!(child[0]["abstention"], Value::Null);
    assert!(child[0]["duration_ms"].as_f64().unwrap() > 0.0);

    let ct = of("ct.dcm");
    assert_eq!((ct.len(), &ct[0]["abstention"]["code"]), (1, &Value::from("no-network")), "{text}");
    let page = of("page.dcm");
    assert_eq!((page.len(), &page[0]["code"]), (1, &Value::from("not-dicom")));
    assert!(page[0]["error"].is_string());
    let files: Vec<&str> = lines.iter().filter_map(|it| it["file"].as_str()).collect();
    assert!(files.is_sorted(), "in the order of the files: {files:?}");
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!((&summary["images"], &summary["failed"]), (&Value::from(3), &Value::from(1)), "{text}");
    assert_eq!(summary["backend"], "blocked", "nothing else is named by a setting: {text}");
    for key in ["wall_s", "cpu_s", "peak_rss_mb"] {
        assert!(summary[key].as_f64().unwrap() > 0.0, "{key}: {text}");
    }

    let (is_well, text) = medilink(&["analyze", &format!("{path}/pipe"), "--json"]);
    assert!(!is_well && text.contains("not-a-file"), "{text}");
}

#[test]
fn an_unknown_network_or_setting_is_an_error_that_names_it() {
    let (is_well, text) = medilink(&["analyze", "x.dcm", "--network", "oracle"]);
    assert!(!is_well && text.contains("oracle") && text.contains("pneumonia224"), "{text}");
    let mut command = program();
    let (is_well, text) = output(command.args(["models", "list"]).env("MEDILINK_COLOUR", "red"));
    assert!(!is_well && text.contains("MEDILINK_COLOUR"), "{text}");
}

#[test]
fn the_networks_are_listed_shown_verified_and_added() {
    let (is_well, text) = medilink(&["models", "list"]);
    assert!(is_well && text.contains("pneumonia224") && text.contains("breast28"), "{text}");
    // models/weights/breast28.onnx has 467828 bytes.
    assert!(text.lines().any(|line| line.starts_with("breast28") && line.contains("  457  ")), "{text}");
    let (is_well, text) = medilink(&["models", "show", "pneumonia224"]);
    assert!(is_well && text.contains("sha256") && text.contains("Kermany"), "{text}");
    let (is_well, text) = medilink(&["models", "verify"]);
    assert!(is_well && text.contains("reference vectors"), "{text}");

    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let folder = tempfile::tempdir().unwrap();
    let card = std::fs::read_to_string(format!("{models}/cards/pneumonia28.toml")).unwrap();
    let renamed = card.replacen("name = \"pneumonia28\"", "name = \"mine\"", 1);
    assert_ne!(card, renamed);
    std::fs::write(folder.path().join("mine.toml"), &renamed).unwrap();
    let weights = format!("{models}/weights/pneumonia28.onnx");
    let add = |card: &str, weights: &str| {
        let mut command = program();
        command.env("MEDILINK_DATA_DIR", folder.path().join("data"));
        output(command.args(["models", "add", weights, "--card", folder.path().join(card).to_str().unwrap()]))
    };
    let (is_well, text) = add("mine.toml", &weights);
    assert!(is_well && text.contains("mine"), "{text}");
    let (is_well, text) = add("mine.toml", &weights);
    assert!(!is_well, "once is enough: {text}");
    let (is_well, text) = add("mine.toml", &format!("{models}/weights/breast28.onnx"));
    assert!(!is_well && text.contains("sha") || text.contains("SHA"), "other weights: {text}");
}

#[test]
fn the_doctor_says_what_is_wrong_and_how_to_mend_it() {
    let server = Server::start(Engine::Sqlite);
    let (is_well, text) = output(server.command().arg("doctor"));
    assert!(is_well && text.contains("all is well") && text.contains("settings     no file"), "{text}");
    let settings = server.data.path().join("settings.toml");
    std::fs::write(&settings, "ae_title = 'ELSEWHERE'\ntoken = 'short'").unwrap();
    let mut command = server.command();
    command.env_remove("MEDILINK_TOKEN").arg("--config").arg(&settings);
    let (is_well, text) = output(command.args(["doctor", "--http-listen", &server.http.to_string()]));
    assert!(is_well && text.contains("settings.toml") && text.contains("ELSEWHERE"), "{text}");
    assert!(text.contains(&format!("{} is in use", server.http)), "{text}");
    assert!(text.contains("fewer than 16 characters"), "{text}");
    assert!(text.contains("note   e-mail: nobody carries it"), "{text}");
    let doctor =
        |settings: &[(&str, &str)]| output(server.command().arg("doctor").envs(settings.iter().copied()));
    let (host, from) =
        (("MEDILINK_SMTP_HOST", "mail.example"), ("MEDILINK_CHANNELS_FROM_EMAIL", "a@b.example"));
    let (is_well, text) = doctor(&[host]);
    assert!(!is_well && text.contains("WRONG  e-mail") && text.contains("set from_email"), "{text}");
    let (is_well, text) = doctor(&[host, from]);
    assert!(is_well && text.contains("ok     e-mail: carried by whom the settings name"), "{text}");
    let smtp = serde_json::json!({"provider": "smtp", "credentials": {"host": "127.0.0.1", "fromEmail": "a@b.example"}});
    let config = serde_json::json!({"email": {"primary": smtp}});
    let set = server.put("/api/v1/communication/config").json(&config).send().unwrap();
    assert_eq!(set.status(), 200);
    let (is_well, text) = doctor(&[]);
    assert!(is_well && text.contains("ok     e-mail: carried by whom PUT"), "{text}");
    let mut command = server.command();
    let broken = command.arg("doctor").env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    let (is_well, text) = output(broken);
    assert!(!is_well && text.contains("WRONG  database") && text.contains("mend: "), "{text}");
}

#[test]
fn a_zip_of_a_study_is_taken_in_whole() {
    let server = Server::start(Engine::Sqlite);
    let images = [Image::ct(1), Image::ct(2)];
    let path = server.data.path().join("study.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (index, image) in images.iter().enumerate() {
        zip.start_file(format!("study/{index}"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &image.file()).unwrap();
    }
    zip.start_file("study/notes.txt", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut zip, b"not DICOM").unwrap();
    zip.finish().unwrap();
    let (is_well, text) = output(server.command().arg("ingest").arg(&path));
    assert!(!is_well && text.contains("2 stored") && text.contains("not-dicom"), "{text}");
    for image in images {
        assert!(server.retrieve(&image.wado()).unwrap() == image.file());
    }
}

#[test]
fn a_worker_of_its_own_does_the_work_of_a_server_without_one() {
    let image = Image::child_chest("normal");
    let mut server = Server::start(Engine::Postgres);
    server.kill();
    let mut apart = server.command();
    apart.args(["serve", "--no-worker", "--http-listen", &server.http.to_string()]);
    apart.args(["--dicom-listen", &server.dicom.to_string(), "--any-ae"]);
    let mut serve = apart.stderr(std::process::Stdio::null()).spawn().unwrap();
    crate::support::server::wait_for("the server", || {
        server.get("/ready").send().ok().filter(|it| it.status() == 200)
    });
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200);
    let mut worker = server.command().arg("worker").stderr(std::process::Stdio::null()).spawn().unwrap();
    crate::support::server::wait_for("the analysis", || {
        let all = server.json("/api/dicom/analyses");
        all[0]["network"]["name"].as_str().map(str::to_owned)
    });
    for child in [&mut worker, &mut serve] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn the_demo_shows_findings_and_keeps_serving() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["demo", "--http-listen", "127.0.0.1:0", "--dicom-listen", "127.0.0.1:0", "--data-dir"]);
    let mut demo = command.arg(folder.path()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told: Vec<String> = lines.take_while(|line| !line.starts_with("Serving")).collect();
    let text = told.join("\n");
    assert!(text.contains("pneumonia") && text.contains("abstained"), "{text}");
    let line = told.iter().find(|line| line.ends_with("/api/dicom/analyses")).unwrap();
    let url = line.split_whitespace().last().unwrap();
    let token = line.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap();
    let answer = reqwest::blocking::Client::new().get(url).bearer_auth(token).send().unwrap();
    assert_eq!(answer.status(), 200);
    demo.kill().unwrap();
    demo.wait().unwrap();
}

#[test]
fn output_that_nobody_reads_to_its_end_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["models", "list"]).env("MEDILINK_DATA_DIR", folder.path());
    // The reading end is closed before a line is written.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let told = String::from_utf8(done.wait_with_output().unwrap().stderr).unwrap();
    assert!(!told.contains("panicked"), "{told}");
}
