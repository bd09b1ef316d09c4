//! Our calls to dcmtk's storescp, and to peers that answer badly.

use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use dicom_dictionary_std::uids;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::scp::StoreStatus;
use crate::scp::query::{DataSetBody, Outgoing, Retrieval};

const CT: &str = uids::CT_IMAGE_STORAGE;
const IMPLICIT: &str = uids::IMPLICIT_VR_LITTLE_ENDIAN;

/// Instances in memory, each of the same implicit data set, or of one that breaks off.
struct Few {
    instances: Vec<Outgoing>,
    is_broken: bool,
}

struct Piece(Option<Bytes>, bool);

impl DataSetBody for Piece {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreStatus> {
        match self.0.take() {
            None if self.1 => Err(StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "the disk is gone")),
            piece => Ok(piece),
        }
    }
}

impl Few {
    fn of(sop_instances: &[&str]) -> Self {
        let outgoing = |uid: &&str| Outgoing {
            sop_class: CT.parse().unwrap(),
            sop_instance: uid.parse().unwrap(),
            transfer_syntax: IMPLICIT.parse().unwrap(),
        };
        Self { instances: sop_instances.iter().map(outgoing).collect(), is_broken: false }
    }
}

impl Retrieval for Few {
    type Body = Piece;

    fn instances(&self) -> &[Outgoing] {
        &self.instances
    }

    fn can_give(&self, _: &Outgoing, transfer_syntax: &TransferSyntaxUid) -> bool {
        transfer_syntax.as_str() == IMPLICIT
    }

    async fn open(&self, index: usize, _: &TransferSyntaxUid) -> Result<Piece, StoreStatus> {
        let element = |group: u16, element: u16, value: &str| {
            let mut bytes = [group.to_le_bytes(), element.to_le_bytes()].concat();
            let value = format!("{value}{}", if value.len() % 2 == 1 { "\0" } else { "" });
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value.as_bytes());
            bytes
        };
        let uid = self.instances[index].sop_instance.as_str();
        let parts = [
            element(8, 0x16, CT),
            element(8, 0x18, uid),
            element(0x20, 0xD, "1.2"),
            element(0x20, 0xE, "1.3"),
        ];
        Ok(Piece(Some(parts.concat().into()), self.is_broken))
    }
}

/// dcmtk's storescp on a port of its own; killed when dropped.
struct Storescp {
    child: Child,
    folder: tempfile::TempDir,
    peer: Peer,
}

impl Storescp {
    /// On a port that is free when it starts; another program may come between.
    async fn start(flags: &[&str]) -> Self {
        for _ in 0..10 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new("/usr/bin/storescp");
            command.args(flags).arg("-od").arg(folder.path()).arg(port.to_string());
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let child = child.expect("install dcmtk (`./test` does)");
            let mut storescp =
                Self { child, folder, peer: format!("STORE=127.0.0.1:{port}").parse().unwrap() };
            if storescp.answers().await {
                return storescp;
            }
        }
        panic!("storescp does not listen");
    }

    /// Whether it answers or rejects an association before it ends.
    async fn answers(&mut self) -> bool {
        for _ in 0..500 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            match Association::open(&self.peer, &ScuSettings::default(), &Proposal::verification()).await {
                Ok(association) => {
                    association.release().await;
                    return self.child.try_wait().unwrap().is_none();
                }
                Err(ScuError::Rejected(_)) => return self.child.try_wait().unwrap().is_none(),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
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

fn quick() -> ScuSettings {
    let wait = Duration::from_millis(500);
    ScuSettings { connect_wait: wait, answer_wait: wait, ..ScuSettings::default() }
}

#[tokio::test]
async fn storescp_answers_an_echo_and_keeps_what_it_is_sent() {
    let storescp = Storescp::start(&[]).await;
    let verification = Proposal::verification();
    let mut association =
        Association::open(&storescp.peer, &ScuSettings::default(), &verification).await.unwrap();
    assert_eq!(association.echo().await.unwrap(), 0);
    association.release().await;

    let few = Few::of(&["1.2.3.1", "1.2.3.2"]);
    let proposal = Proposal::of(few.instances());
    let mut association =
        Association::open(&storescp.peer, &ScuSettings::default(), &proposal).await.unwrap();
    for index in 0..2 {
        assert_eq!(association.send(&few, index, None).await.unwrap(), 0);
    }
    assert!(matches!(association.echo().await, Err(ScuError::NothingAccepted)), "it was not proposed");
    association.release().await;
    assert_eq!(std::fs::read_dir(storescp.folder.path()).unwrap().count(), 2);
}

/// storescp `--refuse` answers each association with A-ASSOCIATE-RJ.
#[tokio::test]
async fn a_rejection_says_why_and_nobody_there_is_told_at_once() {
    let storescp = Storescp::start(&["--refuse"]).await;
    let opened = Association::open(&storescp.peer, &quick(), &Proposal::verification()).await;
    assert!(matches!(opened, Err(ScuError::Rejected(_))), "{opened:?}");
    let peer = storescp.peer.clone();
    drop(storescp);
    let opened = Association::open(&peer, &quick(), &Proposal::verification()).await;
    assert!(matches!(opened, Err(ScuError::Connect(_))), "{opened:?}");
}

#[tokio::test]
async fn a_data_set_that_breaks_off_ends_the_association_and_keeps_nothing() {
    let storescp = Storescp::start(&[]).await;
    let few = Few { is_broken: true, ..Few::of(&["1.2.3.1", "1.2.3.2"]) };
    let proposal = Proposal::of(few.instances());
    let mut association = Association::open(&storescp.peer, &quick(), &proposal).await.unwrap();
    let sent = association.send(&few, 0, None).await;
    assert!(matches!(sent, Err(NotSent::Scu(ScuError::Unreadable(_)))), "{sent:?}");
    let sent = association.send(&few, 1, None).await;
    assert!(matches!(sent, Err(NotSent::Scu(ScuError::Closed))), "{sent:?}");
    association.release().await;
}

/// A listener that answers every connection with these bytes once it has heard something.
async fn answering(bytes: Vec<u8>) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = [0; 4_096];
            let _ = stream.read(&mut heard).await;
            let _ = stream.write_all(&bytes).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    format!("ODD=127.0.0.1:{port}").parse().unwrap()
}

#[tokio::test]
async fn whatever_a_peer_answers_is_an_error_in_time() {
    let huge = vec![2, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    let cut = vec![2, 0, 0, 0, 0, 10, 0, 1];
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    let abort = vec![7, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let senseless = vec![2, 0, 0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF];
    for bytes in [huge, cut, http, abort, senseless, Vec::new()] {
        let peer = answering(bytes.clone()).await;
        let started = std::time::Instant::now();
        let opened = Association::open(&peer, &quick(), &Proposal::verification()).await;
        assert!(matches!(opened, Err(ScuError::Association(_))), "{bytes:?}: {opened:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "{bytes:?}");
    }
}
