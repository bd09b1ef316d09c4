//! Medilink as a service class user: associations that we open, to send instances and to ask whether somebody is there.
//!
//! Source: DICOM PS3.7 (messages), PS3.8 (upper layer), PS3.4, annexes A and B (services).

mod association;
mod peer;
mod proposal;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use clinical::ae_title::AeTitle;

pub use association::Association;
pub use peer::{Peer, PeerError};
pub use proposal::Proposal;

use crate::scp::pdu::PduError;

/// How we call others.
#[derive(Debug, Clone)]
pub struct ScuSettings {
    /// Our title.
    pub calling: AeTitle,
    /// The longest P-DATA-TF that we announce to receive, bytes; responses are short.
    pub max_pdu_bytes: u32,
    /// The longest wait for the connection, and for TLS on it.
    pub connect_wait: Duration,
    /// The longest wait for an answer, and for a peer that does not read.
    pub answer_wait: Duration,
}

impl Default for ScuSettings {
    fn default() -> Self {
        Self {
            calling: AeTitle::MEDILINK,
            max_pdu_bytes: 65_536,
            connect_wait: Duration::from_secs(10),
            answer_wait: Duration::from_secs(60),
        }
    }
}

/// Whose C-MOVE has caused a C-STORE (PS3.7, section 9.1.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Originator {
    /// Move Originator Application Entity Title (0000,1030).
    pub ae_title: AeTitle,
    /// Move Originator Message ID (0000,1031).
    pub message_id: u16,
}

/// Why a peer did not do what we asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScuError {
    /// No connection.
    #[error("the peer cannot be reached")]
    Connect(#[source] io::Error),
    /// No connection in time.
    #[error("the peer cannot be reached in time")]
    ConnectSlow,
    /// A-ASSOCIATE-RJ.
    #[error("the peer rejected the association: {0}")]
    Rejected(String),
    /// None of our presentation contexts was accepted.
    #[error("the peer accepted no presentation context")]
    NothingAccepted,
    /// The peer broke off or broke the protocol.
    #[error("the association failed: {0}")]
    Association(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was to be sent could not be read to its end.
    #[error("the data set cannot be read to its end: {0}")]
    Unreadable(String),
    /// The association has ended before.
    #[error("the association is closed")]
    Closed,
}

/// Why one instance was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// None of the accepted contexts fits.
    #[error("the peer takes it in no transfer syntax in which it can be written")]
    NoContext,
    /// It could not be opened.
    #[error("it cannot be read: {0}")]
    NotOpened(String),
    /// The association failed, now or before.
    #[error(transparent)]
    Scu(#[from] ScuError),
}

impl From<PduError> for ScuError {
    fn from(error: PduError) -> Self {
        Self::Association(Box::new(error))
    }
}
