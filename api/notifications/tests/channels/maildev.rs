//! SMTP against another foreign server, npm's maildev: TLS from the first byte and a password; it parses what it took.

use notifications::channel::ChannelSettings;
use serde_json::{Value, json};
use storage::records::webhook::target::Targets;
use storage::testing::told_by_test;

use crate::peer::{Peer, certificate, free_port};
use crate::support::{House, database, mailbox, outgoing};

#[tokio::test]
async fn what_maildev_takes_over_tls_reads_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, [certificate, key]) = certificate(folder.path());
    let script = format!("{}/maildev/dist/bin/maildev.js", told_by_test("MEDILINK_TEST_NODE_MODULES"));
    let (port, web) = (free_port().to_string(), free_port().to_string());
    let mut peer = Peer::start(
        &told_by_test("MEDILINK_TEST_NODE"),
        &[
            &script,
            "--ip=127.0.0.1",
            "--web-ip=127.0.0.1",
            &format!("--smtp={port}"),
            &format!("--web={web}"),
            "--incoming-secure",
            &format!("--incoming-cert={certificate}"),
            &format!("--incoming-key={key}"),
            "--incoming-user=clinic",
            "--incoming-pass=s3cret",
            &format!("--mail-directory={}", folder.path().join("mails").display()),
        ],
    );
    while !peer.line().contains("Press Ctrl+C") {}

    let (db, _folder) = database().await;
    let settings = ChannelSettings { smtp_authority: authority, ..ChannelSettings::default() };
    let house = House::with(&db, settings, Targets::PrivateToo).await;
    let smtp = json!({
        "host": "localhost", "port": port, "security": "tls", "username": "clinic", "password": "s3cret",
        "fromEmail": "noreply@clinic.example", "fromName": "Clínica Norte"
    });
    house.serve_by("email", &[("smtp", smtp)]).await;
    let message = outgoing(mailbox("ana@example.org"));
    let sent = house.switchboard.send(house.other, &message).await.unwrap();

    let taken =
        reqwest::get(format!("http://127.0.0.1:{web}/api/email")).await.unwrap().text().await.unwrap();
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!(taken.as_array().map(Vec::len), Some(1), "{taken}");
    let mail = &taken[0];
    assert_eq!(mail["from"], json!([{"address": "noreply@clinic.example", "name": "Clínica Norte"}]));
    assert_eq!(mail["to"][0]["address"], "ana@example.org");
    assert_eq!(mail["subject"], json!(message.subject));
    assert_eq!(mail["headers"]["message-id"], json!(sent.provider_message_id));
    assert_eq!(mail["text"].as_str().unwrap().trim_end(), message.text);
    assert!(mail["html"].as_str().unwrap().contains("<p>Sign in to read it.</p>"));
}
