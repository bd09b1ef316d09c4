//! A house over one database, and synthetic files for it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, header};
use bytes::Bytes;
use chrono::TimeDelta;
use clinical::imaging::NetworkState;
use dicom_house::{DicomState, routes};
use gate::testing::{Answer, app, request, send};
use gate::{App, HttpLimits, layers};
use ingest::limits::IngestLimits;
use ingest::part10::file_with_meta;
use ingest::receive::{OnConflict, ReceiveSettings, Receiver};
use storage::db::Db;
use storage::records::network::NetworkName;
use storage::testing::now;
use tempfile::TempDir;

pub const NETWORK: &str = "example";

pub struct House {
    pub router: Router,
    pub app: App,
    pub archive: TempDir,
    pub spool: TempDir,
}

/// Two networks that are active unless somebody says otherwise, and one that is not.
pub fn networks() -> [NetworkName; 3] {
    let network = |(name, by_card): (&str, NetworkState)| NetworkName {
        name: name.to_owned(),
        version: "1".to_owned(),
        by_card,
    };
    let (active, draft) = (NetworkState::Active, NetworkState::Draft);
    [(NETWORK, active), ("other", active), ("new", draft)].map(network)
}

/// The house with limits of its own.
pub fn house_with(db: &Db, limits: HttpLimits, on_conflict: OnConflict) -> House {
    let (app, archive) = app(db, limits, now());
    let spool = tempfile::tempdir().unwrap();
    let settings = ReceiveSettings {
        limits: IngestLimits::default(),
        on_conflict,
        quiet: TimeDelta::seconds(10),
        spool_folder: spool.path().to_owned(),
    };
    let receiver = Receiver::new(app.db.clone(), app.archive.clone(), Arc::clone(&app.clock), settings);
    let state = DicomState::new(app.clone(), receiver, networks());
    House { router: layers(routes(state), app.clone()), app, archive, spool }
}

pub fn house(db: &Db) -> House {
    house_with(db, HttpLimits::default(), OnConflict::Keep)
}

impl House {
    /// How many files the archive and the spool hold.
    pub fn files_left(&self) -> usize {
        count(self.archive.path()) + count(self.spool.path())
    }
}

fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

/// An element in Explicit VR Little Endian (PS3.5, section 7.1.2), of a VR with a short length.
fn short(group: u16, element: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == "UI" { 0 } else { b' ' });
    }
    let length = u16::try_from(value.len()).unwrap().to_le_bytes();
    [&group.to_le_bytes(), &element.to_le_bytes(), vr.as_bytes(), &length, &value[..]].concat()
}

/// A CT image of 2 x 2 pixels of 16 bits; `pixels` fill it.
pub fn image(sop_uid: &str, pixels: [u8; 8]) -> Vec<u8> {
    let mut file = without_pixels(sop_uid);
    for (element, value) in [(0x10_u16, 2_u16), (0x11, 2), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)]
    {
        file.extend(short(0x28, element, "US", &value.to_le_bytes()));
    }
    let head = [&[0xE0, 0x7F, 0x10, 0x00][..], b"OW\0\0", &8_u32.to_le_bytes()].concat();
    file.extend([&head[..], &pixels].concat());
    file
}

/// The same without any pixels.
pub fn without_pixels(sop_uid: &str) -> Vec<u8> {
    let class = "1.2.840.10008.5.1.4.1.1.2";
    let syntax = "1.2.840.10008.1.2.1".parse().unwrap();
    let mut file = file_with_meta(&class.parse().unwrap(), &sop_uid.parse().unwrap(), &syntax, None);
    for (group, element, vr, value) in [
        (0x08, 0x16, "UI", class),
        (0x08, 0x18, "UI", sop_uid),
        (0x08, 0x60, "CS", "CT"),
        (0x10, 0x10, "PN", "Test^Ada"),
        (0x10, 0x20, "LO", "P1"),
        (0x20, 0x0D, "UI", "1.2.3"),
        (0x20, 0x0E, "UI", "1.2.3.1"),
    ] {
        file.extend(short(group, element, vr, value.as_bytes()));
    }
    file
}

/// A form with one part for each `(field name, file name, bytes)`.
pub fn form(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, name, bytes) in parts {
        body.extend(
            format!(
                "--frontier\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n"
            )
            .into_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontier--\r\n");
    body
}

/// `POST /api/dicom/upload` with any body.
pub async fn post(house: &House, kind: &str, body: Vec<u8>) -> Answer {
    let request = request(Method::POST, "/api/dicom/upload").header(header::CONTENT_TYPE, kind);
    send(&house.router, request.body(Body::from(Bytes::from(body))).unwrap()).await
}

/// The same with a form.
pub async fn post_form(house: &House, body: Vec<u8>) -> Answer {
    post(house, "multipart/form-data; boundary=frontier", body).await
}

/// The upload of one file.
pub async fn upload(house: &House, file: &[u8]) -> Answer {
    post_form(house, form(&[("file", "chest.dcm", file)])).await
}
