//! Another application entity, and where it is reached.

use std::fmt;
use std::str::FromStr;

use clinical::ae_title::{AeTitle, AeTitleError};

use crate::tls::TlsClient;

/// An application entity that we call.
#[derive(Clone)]
pub struct Peer {
    /// Its title.
    pub ae_title: AeTitle,
    /// Its host: a DNS name or an address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// How to greet it under TLS; `None` calls it in the clear.
    pub tls: Option<TlsClient>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ae_title, host, port, tls } = self;
        let tls = if tls.is_some() { " (TLS)" } else { "" };
        write!(f, "{ae_title}={host}:{port}{tls}")
    }
}

/// Why a text names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No `=` parts a title from a place.
    #[error("a peer is written AE=HOST:PORT")]
    Form,
    /// The title is none.
    #[error("the peer's AE title is not usable: {0}")]
    Title(#[from] AeTitleError),
    /// No host and port from 1 to 65535.
    #[error("the peer's place is not HOST:PORT")]
    Place,
}

impl FromStr for Peer {
    type Err = PeerError;

    /// Reads `AE=HOST:PORT`, an IPv6 address in brackets; called in the clear.
    fn from_str(text: &str) -> Result<Self, PeerError> {
        // a title may hold a `=`, a host may not
        let (title, place) = text.rsplit_once('=').ok_or(PeerError::Form)?;
        let (host, port) = place_of(place).ok_or(PeerError::Place)?;
        Ok(Self { ae_title: title.parse()?, host, port, tls: None })
    }
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
fn place_of(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_host_byte),
    };
    is_host.then(|| (bare.unwrap_or(host).to_owned(), port))
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String, u16), PeerError> {
        text.parse::<Peer>().map(|peer| (peer.ae_title.to_string(), peer.host, peer.port))
    }

    #[test]
    fn a_peer_is_a_title_and_a_place() {
        assert_eq!(read("PACS=10.0.0.7:104"), Ok(("PACS".into(), "10.0.0.7".into(), 104)));
        assert_eq!(read("A=B=pacs.example:11112"), Ok(("A=B".into(), "pacs.example".into(), 11112)));
        assert_eq!(read("SIX=[::1]:104"), Ok(("SIX".into(), "::1".into(), 104)));
    }

    #[test]
    fn what_is_none_says_why() {
        assert_eq!(read("10.0.0.7:104"), Err(PeerError::Form));
        assert_eq!(read("=10.0.0.7:104"), Err(PeerError::Title(AeTitleError::Empty)));
        for text in
            ["PACS=10.0.0.7", "PACS=:104", "PACS=host:0", "PACS=host:65536", "PACS=::1:104", "PACS=a b:1"]
        {
            assert_eq!(read(text), Err(PeerError::Place), "{text}");
        }
    }
}
