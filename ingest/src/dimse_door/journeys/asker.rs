//! A peer of our own that asks, well or badly.

use bytes::Bytes;
use dicom_ul::pdu::{
    AssociationRQ, Pdu, PresentationContextProposed, RequestorRoles, UserVariableItem, read_pdu, write_pdu,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

pub(super) const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
pub(super) const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;
pub(super) const FIND_CONTEXT: u8 = 1;
pub(super) const GET_CONTEXT: u8 = 3;
pub(super) const CT_CONTEXT: u8 = 5;

/// One message: its context, its command elements of two bytes, its data set.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) context_id: u8,
    command: Vec<u8>,
    pub(super) data_set: Vec<u8>,
}

impl Message {
    /// A number of the command set.
    pub(super) fn number(&self, element: u16) -> Option<u16> {
        let mut at = 0;
        while at + 8 <= self.command.len() {
            let length = u32::from_le_bytes(self.command[at + 4..at + 8].try_into().unwrap()) as usize;
            if self.command[at + 2..at + 4] == element.to_le_bytes() && length == 2 {
                return Some(u16::from_le_bytes([self.command[at + 8], self.command[at + 9]]));
            }
            at += 8 + length;
        }
        None
    }

    pub(super) fn status(&self) -> u16 {
        self.number(0x0900).expect("a response")
    }
}

pub(super) struct Asker {
    stream: TcpStream,
    waiting: std::collections::VecDeque<dicom_ul::pdu::PDataValue>,
}

impl Asker {
    /// Associated for C-FIND, and for C-GET of CT in Explicit VR Little Endian.
    pub(super) async fn associated(door: &Open) -> Self {
        let context = |id, class: &str, syntax: &str| PresentationContextProposed {
            id,
            abstract_syntax: class.into(),
            transfer_syntaxes: vec![syntax.into()],
        };
        let roles = RequestorRoles { scu: false, scp: true };
        let request = Pdu::AssociationRQ(AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "ASKER".into(),
            called_ae_title: "MEDILINK".into(),
            application_context_name: "1.2.840.10008.3.1.1.1".into(),
            presentation_contexts: vec![
                context(FIND_CONTEXT, FIND, IMPLICIT),
                context(GET_CONTEXT, GET, IMPLICIT),
                context(CT_CONTEXT, CT, EXPLICIT),
            ],
            user_variables: vec![
                UserVariableItem::MaxLength(16_384),
                UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), roles),
            ],
        });
        let stream = TcpStream::connect(door.address).await.unwrap();
        let mut asker = Self { stream, waiting: Default::default() };
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, &request).unwrap();
        asker.stream.write_all(&bytes).await.unwrap();
        let answer = asker.pdu().await;
        let Some(Pdu::AssociationAC(accepted)) = answer else { panic!("{answer:?}") };
        let reasons = accepted.presentation_contexts.into_iter().map(|it| it.reason as u8);
        assert!(reasons.into_iter().all(|reason| reason == 0));
        asker
    }

    async fn pdu(&mut self) -> Option<Pdu> {
        let read = async {
            let mut bytes = vec![0; 6];
            self.stream.read_exact(&mut bytes).await.ok()?;
            let length = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
            bytes.resize(6 + length, 0);
            self.stream.read_exact(&mut bytes[6..]).await.ok()?;
            read_pdu(&bytes[..], 131_072, true).unwrap()
        };
        timeout(Duration::from_secs(20), read).await.expect("an answer within twenty seconds")
    }

    /// The next message; `None` where the association has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let (mut command, mut data_set, mut has_data_set) = (Vec::new(), Vec::new(), None);
        loop {
            while self.waiting.is_empty() {
                match self.pdu().await? {
                    Pdu::PData { data } => self.waiting.extend(data),
                    _ => return None,
                }
            }
            let value = self.waiting.pop_front()?;
            let part = match value.value_type {
                dicom_ul::pdu::PDataValueType::Command => &mut command,
                dicom_ul::pdu::PDataValueType::Data => &mut data_set,
            };
            part.extend(value.data);
            if value.is_last && has_data_set.is_none() {
                let message = Message { context_id: 0, command: command.clone(), data_set: Vec::new() };
                has_data_set = message.number(0x0800).map(|it| it != 0x0101);
                if has_data_set == Some(true) {
                    continue;
                }
            }
            if value.is_last {
                return Some(Message { context_id: value.presentation_context_id, command, data_set });
            }
        }
    }

    /// Sends a command set of numbers and texts, and a data set behind it.
    pub(super) async fn send(&mut self, context_id: u8, command: &[(u16, &[u8])], data_set: Option<&[u8]>) {
        let mut set = Vec::new();
        for (element, value) in command {
            set.extend_from_slice(&[0, 0]);
            set.extend_from_slice(&element.to_le_bytes());
            set.extend_from_slice(&(value.len() as u32).to_le_bytes());
            set.extend_from_slice(value);
        }
        let mut out = Vec::new();
        pdata(&mut out, context_id, 3, &set);
        if let Some(data_set) = data_set {
            let count = data_set.len().div_ceil(16_000).max(1);
            for (number, piece) in data_set.chunks(16_000).enumerate() {
                pdata(&mut out, context_id, if number + 1 == count { 2 } else { 0 }, piece);
            }
            if data_set.is_empty() {
                pdata(&mut out, context_id, 2, &[]);
            }
        }
        self.stream.write_all(&out).await.unwrap();
    }

    /// A C-FIND or C-GET with Message ID 7 and this identifier.
    pub(super) async fn ask(&mut self, context_id: u8, identifier: &[u8]) {
        let (class, field) = if context_id == FIND_CONTEXT { (FIND, 0x20_u16) } else { (GET, 0x10) };
        let class = padded(class);
        let field = field.to_le_bytes();
        let command: [(u16, &[u8]); 5] =
            [(0x0002, &class), (0x0100, &field), (0x0110, &[7, 0]), (0x0700, &[0, 0]), (0x0800, &[1, 0])];
        self.send(context_id, &command, Some(identifier)).await;
    }

    /// A C-CANCEL of the message 7.
    pub(super) async fn cancel(&mut self, context_id: u8) {
        let command: [(u16, &[u8]); 3] = [(0x0100, &[0xFF, 0x0F]), (0x0120, &[7, 0]), (0x0800, &[1, 1])];
        self.send(context_id, &command, None).await;
    }

    /// The response to a C-STORE of the door.
    pub(super) async fn stored(&mut self, request: &Message) {
        let message_id = request.number(0x0110).unwrap().to_le_bytes();
        let class = padded(CT);
        let command: [(u16, &[u8]); 5] = [
            (0x0002, &class),
            (0x0100, &[1, 0x80]),
            (0x0120, &message_id),
            (0x0800, &[1, 1]),
            (0x0900, &[0, 0]),
        ];
        self.send(request.context_id, &command, None).await;
    }
}

fn pdata(out: &mut Vec<u8>, context_id: u8, control: u8, bytes: &[u8]) {
    out.extend_from_slice(&[4, 0]);
    out.extend_from_slice(&(bytes.len() as u32 + 6).to_be_bytes());
    out.extend_from_slice(&(bytes.len() as u32 + 2).to_be_bytes());
    out.extend_from_slice(&[context_id, control]);
    out.extend_from_slice(bytes);
}

fn padded(uid: &str) -> Vec<u8> {
    let mut bytes = uid.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

/// An identifier in Implicit VR Little Endian.
pub(super) fn identifier(keys: &[(Tag, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut keys = keys.to_vec();
    keys.sort();
    for (tag, value) in keys {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if tag.element() == 0x000D || tag.element() == 0x000E || tag.element() == 0x0018 {
                0
            } else {
                b' '
            });
        }
        out.extend_from_slice(&tag.group().to_le_bytes());
        out.extend_from_slice(&tag.element().to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend(value);
    }
    Bytes::from(out).to_vec()
}
