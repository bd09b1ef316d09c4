//! The wire to a client: texts both ways, and how it ends.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role as Side, WebSocketConfig};

use super::{SocketLimits, incoming, outgoing};
use crate::Problem;

/// What is read from the wire at a time: small, because most connections are silent.
const READ_BYTES: usize = 1 << 10;
/// Most bytes that wait to be written to the wire.
const WRITE_BYTES: usize = 1 << 20;
/// A client has so long to take one message.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client has so long to answer our farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// So many bytes of a message that is too long are read and thrown away, so that its sender hears of it.
const DRAIN_BYTES: usize = 64 << 20;

/// Close codes (RFC 6455, section 7.4.1; 4000 to 4999 are ours).
pub(super) const NORMAL: u16 = 1000;
pub(super) const GONE: u16 = 1001;
pub(super) const PROTOCOL: u16 = 1002;
pub(super) const UNSUPPORTED: u16 = 1003;
pub(super) const POLICY: u16 = 1008;
pub(super) const TOO_BIG: u16 = 1009;
pub(super) const FAILED: u16 = 1011;
pub(super) const NOT_AUTHENTICATED: u16 = 4401;

/// Why a connection ends.
pub(super) struct End {
    pub code: u16,
    pub reason: &'static str,
    /// Whether something is on the wire that nobody will read.
    pub has_rest: bool,
}

impl End {
    pub const fn of(code: u16, reason: &'static str) -> Self {
        Self { code, reason, has_rest: false }
    }
}

fn config(limits: &SocketLimits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes))
}

/// The wire to a client.
pub(super) struct Wire {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// When something was heard the last time.
    pub heard: Instant,
}

impl Wire {
    /// The wire behind a switch of protocols.
    pub async fn over(upgraded: Upgraded, limits: &SocketLimits) -> Self {
        let stream =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Side::Server, Some(config(limits)));
        Self { stream: stream.await, heard: Instant::now() }
    }

    /// The next text; `None` for what the protocol itself says. Safe to be dropped in the middle.
    pub async fn next(&mut self) -> Result<Option<Utf8Bytes>, End> {
        let read = self.stream.next().await;
        self.heard = Instant::now();
        match read {
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => {
                Err(End::of(UNSUPPORTED, "messages are texts"))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Close(_))) | None => Err(End::of(NORMAL, "")),
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                Err(End { code: TOO_BIG, reason: "the message is too long", has_rest: true })
            }
            Some(Err(Error::Utf8(_))) => Err(End::of(1007, "texts are UTF-8")),
            Some(Err(Error::Protocol(_))) => Err(End::of(PROTOCOL, "that is no WebSocket")),
            Some(Err(_)) => Err(End::of(NORMAL, "")),
        }
    }

    /// The client's first message.
    pub async fn introduction(&mut self) -> Result<Result<incoming::Introduction, Problem>, End> {
        loop {
            if let Some(text) = self.next().await? {
                return Ok(incoming::introduction(&text));
            }
        }
    }

    pub async fn send(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.put(Message::Text(text)).await
    }

    pub async fn put(&mut self, message: Message) -> Result<(), End> {
        match timeout(PATIENCE, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::of(NORMAL, "")),
            Err(_) => Err(End::of(super::hub::TOO_SLOW, "try again")),
        }
    }

    /// Says why somebody is not let in.
    pub async fn refuse(&mut self, problem: &Problem) -> End {
        match self.send(outgoing::error(problem, None)).await {
            Ok(()) if problem.status().is_server_error() => End::of(FAILED, "try again"),
            Ok(()) => End::of(NOT_AUTHENTICATED, problem.code()),
            Err(end) => end,
        }
    }

    /// Says farewell, and hears the client's.
    pub async fn end(mut self, end: End) {
        let farewell = async {
            let frame = CloseFrame { code: end.code.into(), reason: end.reason.into() };
            if self.stream.close(Some(frame)).await.is_err() && !end.has_rest {
                return;
            }
            if end.has_rest {
                self.drain().await;
            } else {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // A client that does not listen misses it.
        let _ = timeout(FAREWELL, farewell).await;
    }

    /// Reads and throws away, so that the client is not cut off while it still sends and hears why.
    async fn drain(&mut self) {
        let mut rest = vec![0; 16 << 10];
        let mut left = DRAIN_BYTES;
        let wire = self.stream.get_mut();
        while let Ok(read) = wire.read(&mut rest).await {
            if read == 0 || read >= left {
                return;
            }
            left -= read;
        }
    }
}
