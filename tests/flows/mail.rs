//! Mail that is no notice, brought by the real program over a foreign mail server (aiosmtpd): the link for a forgotten
//! password, an invoice for a payer without an account.

#[path = "../../api/notifications/tests/channels/peer.rs"]
mod peer;

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use storage::testing::told_by_test;

use crate::support::server::{BOTH, Engine, Server, wait_for};
use peer::{Peer, certificate, free_port};

const PAGE: &str = "http://127.0.0.1:8080/reset-password#";

/// The program, and a mail server that asks for TLS and a password and prints each message.
struct Post {
    server: Server,
    mail: Peer,
    _folder: tempfile::TempDir,
}

impl Post {
    fn start(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, files) = certificate(folder.path());
        let (python, port) = (told_by_test("MEDILINK_TEST_PYTHON"), free_port().to_string());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/api/notifications/tests/channels/mail_server.py");
        let mut mail = Peer::start(&python, &[script, &port, &files[0], &files[1]]);
        assert_eq!(mail.line(), "ready");
        let settings = [
            ("MEDILINK_SMTP_HOST", "localhost"),
            ("MEDILINK_SMTP_PORT", port.as_str()),
            ("MEDILINK_SMTP_USERNAME", "clinic"),
            ("MEDILINK_SMTP_PASSWORD", "s3cret"),
            ("MEDILINK_SMTP_AUTHORITY", authority.as_str()),
            ("MEDILINK_CHANNELS_FROM_EMAIL", "noreply@clinic.example"),
        ];
        Self { server: Server::start_with(engine, &settings), mail, _folder: folder }
    }

    /// The next message that came, which was for `to` alone.
    fn message(&mut self, to: &str) -> Value {
        let told: Value = serde_json::from_str(&self.mail.line()).unwrap();
        assert_eq!((&told["to"], &told["tls"]), (&json!([to]), &json!(true)));
        told
    }

    /// As nobody in particular.
    fn post(&self, path: &str, body: &Value) -> Response {
        Client::new().post(self.server.url(path)).json(body).send().unwrap()
    }
}

#[test]
fn the_link_for_a_new_password_comes_by_mail_and_counts_once() {
    for engine in BOTH {
        let mut post = Post::start(engine);
        let ada = "ada@example.org";
        let user =
            json!({"email": ada, "name": "Ada", "password": "correct horse battery", "role": "DOCTOR"});
        assert_eq!(post.server.post("/api/v1/users").json(&user).send().unwrap().status(), 201);
        for email in ["nobody@example.org", ada] {
            let asked = post.post("/api/v1/auth/password/forgot", &json!({"email": email}));
            assert_eq!(asked.status(), 202);
        }
        let told = post.message(ada);
        let text = told["text"].as_str().unwrap();
        let link = text.split_whitespace().find(|word| word.starts_with(PAGE));
        let token = link.unwrap_or_else(|| panic!("{text}")).strip_prefix(PAGE).unwrap();

        let page = Client::new().get(post.server.url("/reset-password")).send().unwrap();
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'sha256-"));
        assert!(page.text().unwrap().contains("<form>"));
        let password = "an entirely new password";
        let reset = |token: &str| {
            let body = json!({"token": token, "newPassword": password});
            post.post("/api/v1/auth/password/reset", &body).status().as_u16()
        };
        assert_eq!((reset("mls_guessed"), reset(token), reset(token)), (401, 204, 401));
        let login = post.post("/api/v1/auth/login", &json!({"email": ada, "password": password}));
        assert_eq!(login.status(), 200);
        wait_for("the mail's work to be done", || (post.server.count("jobs") == 0).then_some(()));
        assert!(!post.server.log().contains(token), "the log tells the token");
    }
}

#[test]
fn a_payer_without_an_account_gets_the_invoice_itself() {
    let mut post = Post::start(Engine::Sqlite);
    let payer = "billing@insurer.example";
    let body = json!({"name": "An insurer", "email": payer});
    let customer: Value =
        post.server.post("/api/payments/customers").json(&body).send().unwrap().json().unwrap();
    let lines = json!([{"description": "Home care visit", "unitAmount": 7_550}]);
    let bill = json!({"description": "Care in May", "customerId": customer["id"], "lines": lines,
                      "currency": "EUR", "issue": true});
    let bill = post.server.post("/api/v1/billing/invoices").json(&bill).send().unwrap();
    assert_eq!(bill.status(), 201);
    let id = bill.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned();
    let issued = post.message(payer);
    let sent = post.server.post(&format!("/api/v1/billing/invoices/{id}/send")).send().unwrap();
    assert_eq!(sent.status(), 200);
    let again = post.message(payer);
    for told in [&issued, &again] {
        assert!(told["text"].as_str().unwrap().contains("INV-000001 over 75.50 EUR"), "{told}");
        assert_eq!(told["enclosed"][0][0], "invoice-000001.pdf");
        assert_eq!(told["enclosed"][0][1], "application/pdf");
        assert!(told["enclosed"][0][2].as_str().unwrap().starts_with("JVBERi0"), "it is no PDF");
    }
    let message_id = |told: &Value| {
        let headers = told["headers"].as_array().unwrap();
        headers.iter().find(|header| header[0] == "Message-ID").unwrap()[1].clone()
    };
    assert_ne!(message_id(&issued), message_id(&again), "readers show both");
}
