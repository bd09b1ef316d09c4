//! A sender that writes its PDUs by hand, well or badly.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dicom_ul::pdu::{AssociationRQ, Pdu, PresentationContextProposed, UserVariableItem, read_pdu, write_pdu};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::scp::dimse::{C_ECHO_RQ, C_STORE_RQ, request};

pub(super) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(super) const VERIFICATION: &str = "1.2.840.10008.1.1";
pub(super) const IMPLICIT: &str = "1.2.840.10008.1.2";

/// The presentation contexts of [`Peer::associated`].
pub(super) const ECHO_CONTEXT: u8 = 1;
pub(super) const CT_CONTEXT: u8 = 3;

/// A response: Command Field, Message ID Being Responded To, Status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) field: u16,
    pub(super) message_id: u16,
    pub(super) status: u16,
}

pub(super) struct Peer {
    pub(super) stream: TcpStream,
    pub(super) pdata_pdus_received: usize,
}

impl Peer {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, pdata_pdus_received: 0 }
    }

    /// Connected, with Verification and CT Image Storage negotiated in Implicit VR Little Endian.
    pub(super) async fn associated(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(&association_rq(16_384)).await;
        let answer = peer.receive().await;
        assert!(matches!(answer, Some(Pdu::AssociationAC(_))), "{answer:?}");
        peer
    }

    pub(super) async fn send(&mut self, pdu: &Pdu) {
        self.send_bytes(&pdu_bytes(pdu)).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next PDU; `None` when the connection was closed. Never waits longer than ten seconds.
    pub(super) async fn receive(&mut self) -> Option<Pdu> {
        timeout(Duration::from_secs(10), self.receive_at_leisure())
            .await
            .expect("an answer within ten seconds")
    }

    async fn receive_at_leisure(&mut self) -> Option<Pdu> {
        let mut bytes = vec![0; 6];
        self.stream.read_exact(&mut bytes).await.ok()?;
        let length = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
        bytes.resize(6 + length, 0);
        self.stream.read_exact(&mut bytes[6..]).await.ok()?;
        read_pdu(&bytes[..], 131_072, true).unwrap()
    }

    /// The next response, from as many fragments as it takes.
    pub(super) async fn answer(&mut self) -> Answer {
        let mut command = Vec::new();
        loop {
            let Some(Pdu::PData { data }) = self.receive().await else { panic!("no response") };
            self.pdata_pdus_received += 1;
            for value in data {
                command.extend(value.data);
                if value.is_last {
                    let number = |element| command_number(&command, element);
                    return Answer {
                        field: number(0x0100),
                        message_id: number(0x0120),
                        status: number(0x0900),
                    };
                }
            }
        }
    }

    pub(super) async fn echo(&mut self) -> Answer {
        let command = request(C_ECHO_RQ, 1, false, Some((VERIFICATION, "")));
        self.send_bytes(&pdata(&[(ECHO_CONTEXT, 3, &command)])).await;
        self.answer().await
    }

    /// A C-STORE of a CT whose data set goes out in fragments of these sizes, again and again.
    pub(super) async fn store(&mut self, uid: &str, data: &[u8], sizes: &[usize]) -> Answer {
        self.send_bytes(&store_message(CT_CONTEXT, uid, data, sizes)).await;
        self.answer().await
    }

    pub(super) async fn release(mut self) {
        self.send(&Pdu::ReleaseRQ).await;
        assert_eq!(self.receive().await, Some(Pdu::ReleaseRP));
    }
}

pub(super) fn pdu_bytes(pdu: &Pdu) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_pdu(&mut bytes, pdu).unwrap();
    bytes
}

pub(super) fn association_rq(max_pdu_bytes: u32) -> Pdu {
    let context = |id, class: &str| PresentationContextProposed {
        id,
        abstract_syntax: class.into(),
        transfer_syntaxes: vec![IMPLICIT.into()],
    };
    Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "PEER".into(),
        called_ae_title: "MEDILINK".into(),
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        presentation_contexts: vec![context(ECHO_CONTEXT, VERIFICATION), context(CT_CONTEXT, CT)],
        user_variables: vec![UserVariableItem::MaxLength(max_pdu_bytes)],
    })
}

/// One P-DATA-TF of presentation data values: context, control (1 command, 2 last), bytes.
pub(super) fn pdata(values: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (context_id, control, bytes) in values {
        body.extend_from_slice(&(bytes.len() as u32 + 2).to_be_bytes());
        body.extend_from_slice(&[*context_id, *control]);
        body.extend_from_slice(bytes);
    }
    let mut pdu = vec![4, 0];
    pdu.extend_from_slice(&(body.len() as u32).to_be_bytes());
    pdu.extend(body);
    pdu
}

/// A whole C-STORE message of a CT, one fragment in each P-DATA-TF.
pub(super) fn store_message(context_id: u8, uid: &str, data: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut bytes = pdata(&[(context_id, 3, &request(C_STORE_RQ, 1, true, Some((CT, uid))))]);
    let mut rest = data;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        rest = after;
        let control = if rest.is_empty() { 2 } else { 0 };
        bytes.extend(pdata(&[(context_id, control, piece)]));
        if rest.is_empty() {
            break;
        }
    }
    bytes
}

fn command_number(command: &[u8], element: u16) -> u16 {
    let command = Bytes::copy_from_slice(command);
    let mut at = 0;
    while at < command.len() {
        let length = u32::from_le_bytes(command[at + 4..at + 8].try_into().unwrap()) as usize;
        if command[at + 2..at + 4] == element.to_le_bytes() {
            return u16::from_le_bytes(command[at + 8..at + 10].try_into().unwrap());
        }
        at += 8 + length;
    }
    panic!("the response has no element {element:04X}");
}
