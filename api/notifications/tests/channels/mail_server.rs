//! SMTP against a foreign server, aiosmtpd: STARTTLS, a password, kept connections, refusals.

use notifications::channel::{ChannelSettings, Outgoing, SendError, Undelivered};
use serde_json::{Value, json};
use storage::records::webhook::target::Targets;
use storage::testing::told_by_test;
use tempfile::TempDir;

use crate::peer::{Peer, certificate, free_port};
use crate::support::{House, database, mailbox, outgoing};

/// A mail server with a certificate of its own, and its authority as PEM.
struct MailServer {
    peer: Peer,
    port: u16,
    authority: String,
    _folder: TempDir,
}

impl MailServer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, [certificate, key]) = certificate(folder.path());
        let port = free_port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/channels/mail_server.py");
        let python = told_by_test("MEDILINK_TEST_PYTHON");
        let port_text = port.to_string();
        let arguments = [script, &port_text, &certificate, &key];
        let mut peer = Peer::start(&python, &arguments);
        assert_eq!(peer.line(), "ready");
        Self { peer, port, authority, _folder: folder }
    }

    fn message(&mut self) -> Value {
        serde_json::from_str(&self.peer.line()).unwrap()
    }

    fn credentials(&self, password: &str) -> Value {
        json!({
            "host": "localhost", "port": self.port.to_string(), "username": "clinic", "password": password,
            "fromEmail": "noreply@clinic.example", "fromName": "Clínica\u{a0}Norte"
        })
    }

    fn settings(&self) -> ChannelSettings {
        ChannelSettings { smtp_authority: self.authority.clone(), ..ChannelSettings::default() }
    }
}

/// A mail server, and a clinic that sends by it.
async fn served() -> (MailServer, House, TempDir) {
    let server = MailServer::start();
    let (db, folder) = database().await;
    let house = House::with(&db, server.settings(), Targets::PrivateToo).await;
    house.serve_by("email", &[("smtp", server.credentials("s3cret"))]).await;
    (server, house, folder)
}

#[tokio::test]
async fn mail_travels_over_tls_with_a_password_and_the_connection_is_kept() {
    let (mut server, house, _folder) = served().await;
    let message = outgoing(mailbox("ana@example.org"));
    let sent = house.switchboard.send(house.other, &message).await.unwrap();
    let told = server.message();
    assert_eq!((&told["tls"], &told["user"]), (&json!(true), &json!("clinic")));
    assert_eq!((&told["from"], &told["to"]), (&json!("noreply@clinic.example"), &json!(["ana@example.org"])));
    assert_eq!(told["text"].as_str().unwrap().replace("\r\n", "\n").trim_end(), message.text);
    assert!(told["html"].as_str().unwrap().contains("<p>Sign in to read it.</p>"));
    let header = |name: &str| {
        let headers = told["headers"].as_array().unwrap().iter();
        headers
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(header("Subject"), ["A result is ready: Ñandú"]);
    assert_eq!(header("Message-ID"), [sent.provider_message_id.unwrap()]);
    assert_eq!(header("Auto-Submitted"), ["auto-generated"]);
    for _ in 0..5 {
        house.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap();
        assert_eq!(server.message()["connection"], told["connection"], "one connection for all");
    }
}

#[tokio::test]
async fn a_server_says_whether_address_message_or_moment_is_bad() {
    let (mut server, house, _folder) = served().await;
    let refused =
        async |address: &str| match house.switchboard.send(house.other, &outgoing(mailbox(address))).await {
            Err(Undelivered::Refused(error)) => error,
            other => panic!("{other:?}"),
        };
    let unknown = refused("nobody@example.org").await;
    assert!(matches!(&unknown, SendError::BadAddress(why) if why == "550 5.1.1"), "{unknown:?}");
    assert!(matches!(refused("policy@example.org").await, SendError::Refused(_)));
    assert!(matches!(refused("busy@example.org").await, SendError::Throttled { .. }));
    house.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap();
    let told = server.message();
    assert_eq!(
        (&told["to"], &told["connection"]),
        (&json!(["ana@example.org"]), &json!(1)),
        "good after refusals"
    );
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_meanwhile_costs_no_message() {
    let (mut server, house, _folder) = served().await;
    for connection in 1..=3 {
        house.switchboard.send(house.other, &outgoing(mailbox("last@example.org"))).await.unwrap();
        assert_eq!(server.message()["connection"], json!(connection));
        assert_eq!(server.peer.line(), "closed");
    }
}

#[tokio::test]
async fn a_line_that_begins_with_a_dot_arrives_as_it_was_written() {
    let (mut server, house, _folder) = served().await;
    let text = "One line.\n.\n.. and more\n.end".to_owned();
    let message = Outgoing { text, ..outgoing(mailbox("ana@example.org")) };
    house.switchboard.send(house.other, &message).await.unwrap();
    let told = server.message();
    assert_eq!(told["text"].as_str().unwrap().replace("\r\n", "\n").trim_end(), message.text);
}

#[tokio::test]
async fn wrong_passwords_and_strange_certificates_are_shown_as_health() {
    let server = MailServer::start();
    let (db, _folder) = database().await;
    let house = House::with(&db, server.settings(), Targets::PrivateToo).await;
    let path = format!("/api/v1/clinics/{}/communication/health", house.other);
    let health = async || {
        house.switchboard.probe_all().await.unwrap();
        house.get(&path).await.json()[0]["providers"][0].clone()
    };
    house.serve_by("email", &[("smtp", server.credentials("s3cret"))]).await;
    let shown = health().await;
    assert_eq!(
        (&shown["provider"], &shown["health"], &shown["isOwn"]),
        (&json!("smtp"), &json!("healthy"), &json!(true))
    );

    let strict = House::with(&db, ChannelSettings::default(), Targets::PrivateToo).await;
    strict.serve_by("email", &[("smtp", server.credentials("s3cret"))]).await;
    let error =
        strict.switchboard.send(strict.other, &outgoing(mailbox("ana@example.org"))).await.unwrap_err();
    assert!(
        matches!(error, Undelivered::Refused(SendError::Unreachable(_))),
        "nobody vouches for it: {error:?}"
    );

    let guarded = House::with(&db, server.settings(), Targets::PublicOnly).await;
    // It was set while inside addresses were allowed, and is called when they are no more.
    let error =
        guarded.switchboard.send(house.other, &outgoing(mailbox("ana@example.org"))).await.unwrap_err();
    assert!(error.to_string().contains("no address of the public Internet"), "{error}");
    let wrong = House::with(&db, server.settings(), Targets::PrivateToo).await;
    wrong.serve_by("email", &[("smtp", server.credentials("guess"))]).await;
    let error = wrong.switchboard.send(wrong.other, &outgoing(mailbox("ana@example.org"))).await.unwrap_err();
    assert!(matches!(error, Undelivered::Refused(SendError::Authentication(_))), "{error:?}");
}
