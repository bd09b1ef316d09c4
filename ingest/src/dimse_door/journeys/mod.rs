//! The door over both databases and a real folder, asked by dcmtk's tools and by a peer of our own.

mod asker;
mod cancel;
mod find;
mod hostile;
mod retrieve;
mod sending;
mod storing;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clinical::clock::SystemClock;
use clinical::id::ClinicId;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pixels::{DecodePool, PixelLimits};
use storage::archive::Archive;
use storage::db::Db;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{DimseDoor, Shelves};
use crate::limits::IngestLimits;
use crate::peers::Peers;
use crate::receive::{OnConflict, Receipt, ReceiveSettings, Receiver};
use crate::scp::{self, CallingAe, ScpEvents, ScpSettings};

const CT: &str = uids::CT_IMAGE_STORAGE;
const IMPLICIT: &str = uids::IMPLICIT_VR_LITTLE_ENDIAN;
const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;
const JPEG_2000: &str = uids::JPEG2000_LOSSLESS;

/// A door on a free port of this machine.
struct Open {
    address: SocketAddr,
    db: Db,
    folder: tempfile::TempDir,
    receiver: Receiver,
    events: Arc<ScpEvents>,
    door: Arc<DimseDoor>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Open {
    /// A door whose peers are `peers`, each `AE=HOST:PORT`.
    async fn with(db: Db, peers: &[&str]) -> Self {
        Self::read_by(CallingAe::Any, db, peers).await
    }

    /// The same, where only these may query and retrieve from every clinic.
    async fn read_by(query_calling: CallingAe, db: Db, peers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(&folder.path().join("archive")).unwrap();
        let settings = ReceiveSettings {
            limits: IngestLimits::default(),
            on_conflict: OnConflict::Keep,
            quiet: TimeDelta::seconds(5),
            spool_folder: folder.path().to_owned(),
        };
        let clock = Arc::new(SystemClock);
        let receiver = Receiver::new(db.clone(), archive.clone(), clock.clone(), settings);
        let pool = Arc::new(DecodePool::inline());
        let shelves = Shelves::new(archive, pool, PixelLimits::default(), part10::Limits::default());
        let peers = Peers::new(db.clone(), peers.iter().map(|peer| peer.parse().unwrap()).collect(), None);
        let door = Arc::new(DimseDoor::new(receiver.clone(), db.clone(), clock, shelves, peers));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let events = Arc::new(ScpEvents::default());
        let settings =
            ScpSettings { allowed_calling: CallingAe::Any, query_calling, ..ScpSettings::default() };
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(scp::serve(listener, settings, door.clone(), events.clone(), shutdown));
        Self { address, db, folder, receiver, events, door, stop, task }
    }

    async fn take(&self, file: &[u8]) {
        let mut spool = self.receiver.spool();
        spool.write(file.to_vec().into()).await.unwrap();
        self.receiver.receive(Receipt::from_sender(ClinicId::DEFAULT), spool).await.unwrap();
    }

    async fn close(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("no task hangs").unwrap();
    }

    /// A folder of its own.
    fn place(&self, name: &str) -> PathBuf {
        let place = self.folder.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        place
    }
}

/// What an object of the tests says; the rest is the same in all.
#[derive(Debug, Clone, Copy)]
struct Sample<'s> {
    charset: &'s str,
    name: &'s str,
    id: &'s str,
    study: &'s str,
    series: &'s str,
    sop: &'s str,
    modality: &'s str,
    date: &'s str,
    number: &'s str,
    transfer_syntax: &'s str,
    /// Bytes of its pixels, two for each.
    rows: u16,
}

const ADA: Sample<'_> = Sample {
    charset: "ISO_IR 100",
    name: "Muster^Ada",
    id: "A1",
    study: "1.2.1",
    series: "1.2.1.1",
    sop: "1.2.1.1.1",
    modality: "CT",
    date: "20260102",
    number: "1",
    transfer_syntax: EXPLICIT,
    rows: 8,
};

impl Sample<'_> {
    fn file(&self) -> Vec<u8> {
        let text = |tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
        let short = |tag, number: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(number));
        let mut object = InMemDicomObject::from_element_iter([
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, self.charset),
            text(tags::SOP_CLASS_UID, VR::UI, CT),
            text(tags::SOP_INSTANCE_UID, VR::UI, self.sop),
            text(tags::STUDY_DATE, VR::DA, self.date),
            text(tags::STUDY_TIME, VR::TM, "101500"),
            text(tags::ACCESSION_NUMBER, VR::SH, "ACC1"),
            text(tags::MODALITY, VR::CS, self.modality),
            text(tags::STUDY_DESCRIPTION, VR::LO, "Head"),
            text(tags::PATIENT_NAME, VR::PN, self.name),
            text(tags::PATIENT_ID, VR::LO, self.id),
            text(tags::STUDY_INSTANCE_UID, VR::UI, self.study),
            text(tags::SERIES_INSTANCE_UID, VR::UI, self.series),
            text(tags::SERIES_NUMBER, VR::IS, "4"),
            text(tags::INSTANCE_NUMBER, VR::IS, self.number),
            short(tags::SAMPLES_PER_PIXEL, 1),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            short(tags::ROWS, self.rows),
            short(tags::COLUMNS, 8),
            short(tags::BITS_ALLOCATED, 16),
            short(tags::BITS_STORED, 16),
            short(tags::HIGH_BIT, 15),
            short(tags::PIXEL_REPRESENTATION, 0),
        ]);
        let pixels = noise(usize::from(self.rows) * 16);
        if self.transfer_syntax == JPEG_2000 {
            let fragments = dicom_core::value::PixelFragmentSequence::new(vec![], vec![pixels]);
            object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
        } else {
            object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::from(pixels)));
        }
        let meta = FileMetaTableBuilder::new().transfer_syntax(self.transfer_syntax);
        let mut bytes = Vec::new();
        object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        bytes
    }
}

/// Bytes that look like nothing in particular.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A tool of dcmtk with these arguments and the door's place behind them; raw bytes, as a shell would give them. It runs
/// in the folder `here`, where bit-preserving movescu writes whatever its output folder is.
async fn dcmtk(tool: &str, door: &Open, flags: &[&[u8]]) -> Output {
    let path = Path::new("/usr/bin").join(tool);
    assert!(path.exists(), "{tool} is missing: install dcmtk (`./test` does)");
    let mut command = Command::new(path);
    command.env("TCP_NODELAY", "1").current_dir(door.place("here"));
    command.args(flags.iter().map(|flag| OsString::from_vec(flag.to_vec())));
    command.args([door.address.ip().to_string(), door.address.port().to_string()]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn explain(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    part10::text(object, tag).unwrap_or_default()
}
