//! The real clamd of Debian, with a database of one signature: EICAR's.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::images::Image;
use crate::support::server::{Engine, Server, wait_for};

/// The test file of EICAR (https://www.eicar.org), in two halves, so that no scanner minds this one.
const EICAR: [&str; 2] = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-", "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];

struct Clamd(Child);

impl Clamd {
    fn start(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).display().to_string();
        std::fs::create_dir(at("signatures")).unwrap();
        let hex: String = EICAR.concat().bytes().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(at("signatures/eicar.ndb"), format!("Eicar-Test-Signature:0:*:{hex}\n")).unwrap();
        let settings = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nTemporaryDirectory {}\nForeground yes\nLogFile {}\n",
            at("socket"),
            at("signatures"),
            folder.display(),
            at("log")
        );
        std::fs::write(at("clamd.conf"), settings).unwrap();
        let clamd = Command::new("/usr/sbin/clamd")
            .args(["--config-file", &at("clamd.conf")])
            .stdout(Stdio::null())
            .spawn()
            .expect("./test installs clamav-daemon");
        wait_for("clamd", || std::os::unix::net::UnixStream::connect(at("socket")).ok());
        Self(clamd)
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_clamd_finds_is_held_back_and_so_is_everything_once_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let clamd = Clamd::start(folder.path());
    let address = format!("unix:{}", folder.path().join("socket").display());
    let server = Server::start_with(Engine::Sqlite, &[("MEDILINK_CLAMD_ADDRESS", &address)]);
    let clean = Image::ct(1);
    assert_eq!(server.upload("clean.dcm", clean.file()).unwrap().status(), 200, "{}", server.log());
    let mut infected = Image::ct(3);
    infected.pixels[..EICAR.concat().len()].copy_from_slice(EICAR.concat().as_bytes());
    let refused = server.upload("infected.dcm", infected.file()).unwrap();
    assert_eq!(refused.status(), 422);
    assert_eq!(refused.json::<Value>().unwrap()["code"], "held-back");
    let stowed: Value = server.stow(&[infected.file()]).unwrap().json().unwrap();
    // A771 in decimal
    assert_eq!(stowed["00081198"]["Value"][0]["00081197"]["Value"][0], 42_865, "{stowed}");
    assert!(server.retrieve(&infected.wado()).is_none());
    let held = server.json("/api/v1/quarantine");
    assert_eq!((held.as_array().unwrap().len(), &held[0]["reason"]), (1, &Value::from("infected")));
    assert!(held[0]["detail"].as_str().unwrap().starts_with("Eicar-Test-Signature"), "{held}");

    drop(clamd);
    let later = Image::ct(5);
    assert_eq!(server.upload("later.dcm", later.file()).unwrap().status(), 422);
    let held = server.json("/api/v1/quarantine");
    assert_eq!(held[0]["reason"], "not_scanned");
    let release = format!("/api/v1/quarantine/{}/release", held[0]["id"].as_str().unwrap());
    assert_eq!(server.post(&release).send().unwrap().status(), 200, "{}", server.log());
    assert!(server.retrieve(&later.wado()).unwrap() == later.file());
    assert_eq!(server.json("/api/v1/quarantine").as_array().unwrap().len(), 1);
}
