//! C-GET by getscu, C-MOVE by movescu to itself and to storescp.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use storage::testing::{count, on_both};

use super::*;
use crate::scu::{Association, Peer, Proposal, ScuSettings};

/// Ada's study with an instance in each of three transfer syntaxes, and a long one.
fn study() -> Vec<Vec<u8>> {
    let samples = [
        ADA,
        Sample { sop: "1.2.1.1.2", number: "2", transfer_syntax: IMPLICIT, ..ADA },
        Sample { sop: "1.2.1.1.3", number: "3", transfer_syntax: JPEG_2000, ..ADA },
        Sample { sop: "1.2.1.2.1", series: "1.2.1.2", rows: 65_535, ..ADA },
    ];
    samples.map(|sample| sample.file()).to_vec()
}

/// The data set of a file, by its SOP Instance UID and transfer syntax.
fn data_set(file: &[u8]) -> (String, (String, Vec<u8>)) {
    let read = part10::Part10::read(file.to_vec().into(), &part10::Limits::default()).unwrap();
    let data_set = file[read.scan().data_set_at() as usize..].to_vec();
    (text(read.header(), tags::SOP_INSTANCE_UID), (read.transfer_syntax().to_string(), data_set))
}

fn data_sets(folder: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    files(folder).iter().map(|path| data_set(&std::fs::read(path).unwrap())).collect()
}

async fn with_study(db: Db, peers: &[&str]) -> Open {
    let door = Open::with(db, peers).await;
    for file in study() {
        door.take(&file).await;
    }
    door.take(&Sample { id: "B2", study: "1.2.9", series: "1.2.9.1", sop: "1.2.9.1.1", ..ADA }.file()).await;
    door
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// PS3.4, section C.4.3. What the peer takes as it is stored comes bit for bit; the level and its keys choose it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn getscu_gets_a_study_a_series_an_image_and_a_patient() {
    on_both(async |db| {
        let door = with_study(db, &[]).await;
        let kept: BTreeMap<_, _> = study().iter().map(|file| data_set(file)).collect();
        for (name, model, keys, expected) in [
            (
                "image",
                &b"-S"[..],
                vec![&b"QueryRetrieveLevel=IMAGE"[..], b"SOPInstanceUID=1.2.1.1.1\\1.2.1.1.2"],
                2,
            ),
            (
                "series",
                b"-S",
                vec![b"QueryRetrieveLevel=SERIES", b"StudyInstanceUID=1.2.1", b"SeriesInstanceUID=1.2.1.2"],
                1,
            ),
            ("study", b"-S", vec![b"QueryRetrieveLevel=STUDY", b"StudyInstanceUID=1.2.1\\1.2.9"], 4),
            ("patient", b"-P", vec![b"QueryRetrieveLevel=PATIENT", b"PatientID=A1"], 3),
            ("nobody", b"-P", vec![b"QueryRetrieveLevel=PATIENT", b"PatientID=Z9"], 0),
        ] {
            let place = door.place(name);
            let folder = place.to_str().unwrap().as_bytes();
            let mut flags: Vec<&[u8]> = vec![b"-v", b"-aec", b"MEDILINK", b"-od", folder, model];
            for key in &keys {
                flags.extend([&b"-k"[..], key]);
            }
            let output = dcmtk("getscu", &door, &flags).await;
            let got = data_sets(&place);
            assert_eq!(got.len(), expected, "{name}: {}", explain(&output));
            for (uid, (syntax, bytes)) in &got {
                // getscu proposes the uncompressed syntaxes in one context: one of them is chosen for all
                if let Some((stored_syntax, stored)) = kept.get(uid).filter(|(stored, _)| stored == syntax) {
                    assert!(bytes == stored, "{name} {uid} {stored_syntax}");
                }
            }
        }
        // the study's JPEG 2000 is of no decoder: asked for in uncompressed form it fails, the others come
        assert_eq!(door.events.gets.load(std::sync::atomic::Ordering::Relaxed), 5);
        door.close().await;
    })
    .await;
}

/// PS3.4, section C.4.2: the destination gets each instance in its stored syntax, bit for bit, and the originator's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn movescu_moves_to_itself_what_it_takes_as_it_is_stored() {
    on_both(async |db| {
        let port = free_port();
        let door = with_study(db, &[&format!("MOVER=127.0.0.1:{port}")]).await;
        let port = port.to_string();
        let flags: Vec<&[u8]> = vec![
            b"-v",
            b"-S",
            b"-aec",
            b"MEDILINK",
            b"-aet",
            b"MOVER",
            b"-aem",
            b"MOVER",
            b"+P",
            port.as_bytes(),
            b"+xv",
            b"+B",
            b"-k",
            b"QueryRetrieveLevel=STUDY",
            b"-k",
            b"StudyInstanceUID=1.2.1",
        ];
        let output = dcmtk("movescu", &door, &flags).await;
        let said = explain(&output);
        assert!(output.status.success() && said.contains("Success"), "{said}");
        let moved = data_sets(&door.place("here"));
        for file in study() {
            let (uid, stored) = data_set(&file);
            assert!(moved.get(&uid) == Some(&stored), "{uid}: {:?} {said}", moved.get(&uid).map(|it| &it.0));
        }
        assert_eq!(count(&door.db, "audit_trail").await, 1, "one study moved");
        door.close().await;
    })
    .await;
}

/// A storescp of dcmtk; killed when dropped.
pub(super) struct Storescp {
    child: Child,
    pub(super) folder: tempfile::TempDir,
    pub(super) port: u16,
}

impl Storescp {
    /// On a port that is free when it starts; another program may come between.
    pub(super) async fn start(flags: &[&str]) -> Self {
        for _ in 0..10 {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let mut command = Command::new("/usr/bin/storescp");
            command.args(flags).arg("-od").arg(folder.path()).arg(port.to_string());
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut storescp = Self { child, folder, port };
            if storescp.listens().await {
                return storescp;
            }
        }
        panic!("storescp does not listen");
    }

    /// Whether it answers an echo before it ends; a connection without one would upset it.
    async fn listens(&mut self) -> bool {
        let peer: Peer = format!("STORE=127.0.0.1:{}", self.port).parse().unwrap();
        for _ in 0..500 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let opened = Association::open(&peer, &ScuSettings::default(), &Proposal::verification()).await;
            if let Ok(mut association) = opened {
                let is_heard = association.echo().await.is_ok();
                association.release().await;
                return is_heard && self.child.try_wait().unwrap().is_none();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for Storescp {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

async fn movescu(door: &Open, destination: &[u8], uid: &[u8]) -> String {
    let key = [&b"StudyInstanceUID="[..], uid].concat();
    let flags: Vec<&[u8]> = vec![
        b"-v",
        b"-S",
        b"-aec",
        b"MEDILINK",
        b"-aem",
        destination,
        b"-k",
        b"QueryRetrieveLevel=STUDY",
        b"-k",
        &key,
    ];
    explain(&dcmtk("movescu", door, &flags).await)
}

/// PS3.4, table C.4-2: B000 where some failed. An explicit data set comes as an implicit one where only that is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_destination_does_not_take_is_written_anew_or_fails() {
    on_both(async |db| {
        let storescp = Storescp::start(&["+xi", "+B", "--aetitle", "PLAIN"]).await;
        let door = with_study(db, &[&format!("PLAIN=127.0.0.1:{}", storescp.port)]).await;
        let said = movescu(&door, b"PLAIN", b"1.2.1").await;
        assert!(said.contains("SubOperationsCompleteOneOrMoreFailures") || said.contains("0xb000"), "{said}");
        let moved = data_sets(storescp.folder.path());
        let uids: Vec<_> = moved.keys().map(String::as_str).collect();
        assert_eq!(uids, ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.2.1"], "all but the JPEG 2000 of no decoder");
        assert!(moved.values().all(|(syntax, _)| syntax == IMPLICIT));
        let (_, stored) = data_set(&study()[1]);
        assert!(moved["1.2.1.1.2"] == stored, "stored so: bit for bit");
        let pixels = noise(128);
        assert!(moved["1.2.1.1.1"].1.ends_with(&pixels), "written anew with the same pixels");
        drop(storescp);

        let said = movescu(&door, b"PLAIN", b"1.2.1").await;
        assert!(said.contains("Refused: OutOfResourcesSubOperations"), "{said}");
        let said = movescu(&door, b"NOBODY", b"1.2.1").await;
        assert!(said.contains("MoveDestinationUnknown"), "{said}");
        door.close().await;
    })
    .await;
}
