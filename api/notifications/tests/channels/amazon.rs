//! SES and SNS against moto, a foreign implementation of Amazon's services.

use std::process::Stdio;

use notifications::channel::{Address, ChannelSettings, Provider, SendError, Undelivered};
use serde_json::{Value, json};
use storage::records::webhook::target::Targets;
use storage::testing::told_by_test;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::peer::{Peer, free_port};
use crate::support::{House, database, mailbox, outgoing, with_paper};

/// What Python's own reader finds enclosed in a mail: media type, name and bytes.
const ENCLOSED: &str = "\
import email, email.policy, json, sys
mail = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
files = [[it.get_content_type(), it.get_filename(), it.get_content().hex()] for it in mail.iter_attachments()]
print(json.dumps({'text': mail.get_body(('plain',)).get_content(), 'files': files}))
";

struct Moto {
    _peer: Peer,
    base: String,
    http: reqwest::Client,
}

impl Moto {
    async fn start() -> Self {
        // As everywhere: before the first client of HTTP is made.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let port = free_port();
        let python = told_by_test("MEDILINK_TEST_PYTHON");
        let peer = Peer::start(&python, &["-m", "moto.server", "-p", &port.to_string()]);
        let moto =
            Self { _peer: peer, base: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new() };
        for _ in 0..600 {
            if moto.http.get(format!("{}/moto-api/", moto.base)).send().await.is_ok() {
                return moto;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("moto does not answer");
    }

    fn settings(&self) -> ChannelSettings {
        let base = self.base.clone();
        ChannelSettings { ses_base_url: base.clone(), sns_base_url: base, ..ChannelSettings::default() }
    }

    /// The sender's mailbox is theirs.
    async fn verify(&self) {
        let identity = json!({"EmailIdentity": "noreply@clinic.example"}).to_string();
        self.manage("ses", "/v2/email/identities", "application/json", &identity).await;
    }

    /// The mails that were taken, as they were handed over.
    async fn mails(&self) -> Vec<String> {
        let kept = self.http.get(format!("{}/moto-api/data.json", self.base)).send().await.unwrap();
        let kept: Value = kept.json().await.unwrap();
        let mails = kept["ses"]["RawMessage"].as_array().unwrap();
        mails.iter().map(|mail| mail["raw_data"].as_str().unwrap().to_owned()).collect()
    }

    /// A call of a management function, without a signature.
    async fn manage(&self, service: &str, path: &str, content_type: &str, body: &str) -> String {
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/{service}/aws4_request, SignedHeaders=host, \
             Signature=0"
        );
        let request = self.http.post(format!("{}{path}", self.base)).header("authorization", credential);
        let answer = request.header("content-type", content_type).body(body.to_owned()).send().await.unwrap();
        answer.text().await.unwrap()
    }
}

async fn enclosed(mail: &str) -> Value {
    let mut reader = Command::new(told_by_test("MEDILINK_TEST_PYTHON"))
        .args(["-c", ENCLOSED])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(mail.as_bytes()).await.unwrap();
    serde_json::from_slice(&reader.wait_with_output().await.unwrap().stdout).unwrap()
}

fn credentials() -> Value {
    json!({
        "accessKeyId": "AKIDEXAMPLE", "secretAccessKey": "wJalrXUtnFEMI", "region": "eu-central-1",
        "fromEmail": "noreply@clinic.example", "fromName": "Clinic"
    })
}

#[tokio::test]
async fn ses_takes_a_mail_of_a_verified_sender() {
    let moto = Moto::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, moto.settings(), Targets::PrivateToo).await;
    house.serve_by("email", &[("aws_ses", credentials())]).await;
    let message = outgoing(mailbox("ana@example.org"));
    let refused = house.switchboard.send(house.other, &message).await.unwrap_err();
    assert!(
        matches!(refused, Undelivered::Refused(SendError::Refused(_))),
        "nobody has verified it: {refused:?}"
    );
    moto.verify().await;
    let sent = house.switchboard.send(house.other, &message).await.unwrap();
    assert!(sent.provider == Provider::AwsSes && sent.provider_message_id.is_some());
    house.switchboard.probe_all().await.unwrap();
    let path = format!("/api/v1/clinics/{}/communication/health", house.other);
    assert_eq!(house.get(&path).await.json()[0]["providers"][0]["health"], "healthy");
}

#[tokio::test]
async fn ses_gets_the_paper_of_an_invoice_byte_for_byte() {
    let moto = Moto::start().await;
    moto.verify().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, moto.settings(), Targets::PrivateToo).await;
    house.serve_by("email", &[("aws_ses", credentials())]).await;
    let message = with_paper(outgoing(mailbox("ana@example.org")));
    house.switchboard.send(house.other, &message).await.unwrap();
    let [mail] = moto.mails().await.try_into().unwrap();
    let read = enclosed(&mail).await;
    let paper = message.enclosure.unwrap();
    let bytes: String = paper.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(read["files"], json!([["application/pdf", paper.file_name, bytes]]));
    assert!(read["text"].as_str().unwrap().starts_with("Sign in to read it."));
}

#[tokio::test]
async fn sns_takes_short_messages_and_pushes() {
    let moto = Moto::start().await;
    let (db, _folder) = database().await;
    let house = House::with(&db, moto.settings(), Targets::PrivateToo).await;
    house.serve_by("sms", &[("aws_sns", credentials())]).await;
    let number = Address::Sms("+4915112345678".parse().unwrap());
    let sent = house.switchboard.send(house.other, &outgoing(number)).await.unwrap();
    assert!(sent.provider == Provider::AwsSns && sent.provider_message_id.is_some());

    house.serve_by("push", &[("aws_sns", credentials())]).await;
    let form = "application/x-www-form-urlencoded";
    let make = "Action=CreatePlatformApplication&Version=2010-03-31&Name=app&Platform=GCM";
    let made = moto.manage("sns", "/", form, make).await;
    let inside = |text: &str, name: &str| {
        let rest = text.split_once(&format!("<{name}>")).expect("the answer names it").1;
        rest.split_once('<').unwrap().0.to_owned()
    };
    let application = inside(&made, "PlatformApplicationArn");
    let make = "Action=CreatePlatformEndpoint&Version=2010-03-31&Token=t&PlatformApplicationArn=";
    let make = format!("{make}{}", application.replace(':', "%3A").replace('/', "%2F"));
    let endpoint = inside(&moto.manage("sns", "/", form, &make).await, "EndpointArn");
    let sent =
        house.switchboard.send(house.other, &outgoing(Address::SnsEndpoint(endpoint.clone()))).await.unwrap();
    assert!(sent.provider_message_id.is_some());
    let gone = Address::SnsEndpoint(format!("{endpoint}x"));
    let refused = house.switchboard.send(house.other, &outgoing(gone)).await.unwrap_err();
    assert!(matches!(refused, Undelivered::Refused(SendError::BadAddress(_))), "{refused:?}");
}
