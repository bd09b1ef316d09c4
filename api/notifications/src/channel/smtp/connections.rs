//! Connections to one mail server, kept for the next message.
//!
//! They are the crate `lettre`'s; who has which of them, and what is said over it, stands here. `lettre`'s own pool asks
//! each connection whether it lives before every message, and writes a message's end apart from it, which then waits for
//! the acknowledgement of what went before: 40 ms a message where the server delays it.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use storage::records::webhook::target::Targets;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::refusal;
use crate::channel::{ANSWER_TIME, SendError, http, reach};

/// So many connections to one server at most.
const CONNECTIONS: usize = 20;
/// A connection is used for so long, so that a name that means another address is followed.
const AGE: Duration = Duration::from_secs(300);
/// A connection that nobody has used for so long is closed, at the next message or look at the server's health.
const IDLE: Duration = Duration::from_secs(60);
/// A server has so long to forget what it has refused.
const RESET: Duration = Duration::from_secs(1);

/// When the connection is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// RFC 3207, before anything else is said.
    StartTls,
    /// RFC 8314, from the first byte.
    Tls,
    /// Never: a relay on the same machine.
    None,
}

impl Security {
    /// RFC 6409, section 3.1; RFC 8314, section 7.3.
    pub(super) const fn usual_port(self) -> u16 {
        if matches!(self, Self::Tls) { 465 } else { 587 }
    }
}

/// Where a mail server is and how it is spoken to.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) credentials: Option<Credentials>,
    /// Believed beside the machine's own.
    pub(super) authority: Option<Certificate>,
    /// Only these are connected to.
    pub(super) targets: Targets,
    /// How we name ourselves.
    pub(super) hello: ClientId,
}

impl Server {
    /// TLS asks for the server's name, whatever address is connected to.
    fn tls(&self) -> Result<TlsParameters, SendError> {
        let builder = TlsParameters::builder(self.host.clone());
        let builder = match &self.authority {
            Some(authority) => builder.add_root_certificate(authority.clone()),
            None => builder,
        };
        builder.build_rustls().map_err(|_| SendError::Unreachable("there is no TLS to that host".to_owned()))
    }
}

struct Kept {
    connection: AsyncSmtpConnection,
    opened: Instant,
    used: Instant,
}

/// The connections to one server.
pub(super) struct Connections {
    server: Server,
    tls: OnceLock<TlsParameters>,
    allowed: Semaphore,
    idle: Mutex<Vec<Kept>>,
}

impl Connections {
    pub(super) fn to(server: Server) -> Self {
        Self { server, tls: OnceLock::new(), allowed: Semaphore::new(CONNECTIONS), idle: Mutex::default() }
    }

    /// Hands a message over.
    ///
    /// # Errors
    ///
    /// What the server says, or that there is none.
    pub(super) async fn deliver(&self, mail: &Message) -> Result<(), SendError> {
        let _one_of_few = self.allowed.acquire().await;
        let text = String::from_utf8(mail.formatted())
            .map_err(|_| SendError::Refused("the message is no text".to_owned()))?;
        let (mut kept, announced) = loop {
            let (mut kept, is_new) = match self.kept() {
                Some(kept) => (kept, false),
                None => (self.open().await?, true),
            };
            let Some(parameters) = parameters(&kept.connection, mail, &text) else {
                self.keep(kept);
                return Err(SendError::Refused("the server cannot take such a message".to_owned()));
            };
            match announce(&mut kept.connection, mail, parameters).await {
                // The server closed it while nobody used it, and has heard of no message: so it did with the others.
                Err(error) if !is_new && is_closed(&error) => self.idle().clear(),
                announced => break (kept, announced),
            }
        };
        let handed = match announced {
            Ok(()) => kept.connection.command(Content(&text)).await.map(drop),
            Err(error) => Err(error),
        };
        match &handed {
            Ok(()) => self.keep(kept),
            Err(error) if is_closed(error) => {}
            // What was announced is taken back (RFC 5321, section 4.1.1.5); the verdict waits for that no longer.
            Err(_) => {
                let reset = timeout(RESET, kept.connection.command(Rset));
                if matches!(reset.await, Ok(Ok(_))) {
                    self.keep(kept);
                }
            }
        }
        handed.map_err(|error| refusal(&error))
    }

    /// Asks the server whether it is there and believes our password.
    ///
    /// # Errors
    ///
    /// What the server says, or that there is none.
    pub(super) async fn knock(&self) -> Result<(), SendError> {
        let _one_of_few = self.allowed.acquire().await;
        if let Some(mut kept) = self.kept()
            && kept.connection.command(Noop).await.is_ok()
        {
            self.keep(kept);
            return Ok(());
        }
        self.keep(self.open().await?);
        Ok(())
    }

    async fn open(&self) -> Result<Kept, SendError> {
        let Server { host, port, security, credentials, targets, hello, .. } = &self.server;
        let lost = |error: std::io::Error| SendError::Unreachable(http::shortened(&error.to_string()));
        let addresses = reach::resolve(host, *port, *targets).await.map_err(lost)?;
        let connected = if *security == Security::Tls {
            let tls = self.tls()?;
            AsyncSmtpConnection::connect_tokio1(&addresses[..], Some(ANSWER_TIME), hello, Some(tls), None)
                .await
        } else {
            let stream = TcpStream::connect(&addresses[..]).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await
        };
        let mut connection = connected.map_err(|error| refusal(&error))?;
        if *security == Security::StartTls {
            if !connection.can_starttls() {
                return Err(SendError::Unreachable("the server offers no STARTTLS".to_owned()));
            }
            connection.starttls(self.tls()?, hello).await.map_err(|error| refusal(&error))?;
        }
        if let Some(credentials) = credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(|error| {
                let no_way =
                    || SendError::Authentication("the server offers no PLAIN and no LOGIN".to_owned());
                if error.is_client() { no_way() } else { refusal(&error) }
            })?;
        }
        let now = Instant::now();
        Ok(Kept { connection, opened: now, used: now })
    }

    /// Made once: it reads the machine's certificates.
    fn tls(&self) -> Result<TlsParameters, SendError> {
        match self.tls.get() {
            Some(tls) => Ok(tls.clone()),
            None => {
                let tls = self.server.tls()?;
                Ok(self.tls.get_or_init(|| tls).clone())
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one used last; those that are too old are closed.
    fn kept(&self) -> Option<Kept> {
        let mut idle = self.idle();
        idle.retain(|kept| kept.opened.elapsed() < AGE && kept.used.elapsed() < IDLE);
        idle.pop()
    }

    fn keep(&self, kept: Kept) {
        self.idle().push(Kept { used: Instant::now(), ..kept });
    }
}

/// What a server must be told of a message beside its addresses (RFC 6531, RFC 6152); `None` where it cannot take it.
fn parameters(connection: &AsyncSmtpConnection, mail: &Message, text: &str) -> Option<Vec<MailParameter>> {
    let envelope = mail.envelope();
    let mut addresses = envelope.to().iter().chain(envelope.from()).map(AsRef::<str>::as_ref);
    let needed = [
        (addresses.all(str::is_ascii), Extension::SmtpUtfEight, MailParameter::SmtpUtfEight),
        (text.is_ascii(), Extension::EightBitMime, MailParameter::Body(MailBodyParameter::EightBitMime)),
    ];
    let needed = needed.into_iter().filter(|(is_plain, ..)| !is_plain);
    let takes = |extension| connection.server_info().supports_feature(extension);
    needed.map(|(_, extension, parameter)| takes(extension).then_some(parameter)).collect()
}

/// Says whom a message is from and to, and that it comes now.
async fn announce(
    connection: &mut AsyncSmtpConnection,
    mail: &Message,
    parameters: Vec<MailParameter>,
) -> Result<(), Error> {
    let envelope = mail.envelope();
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await?;
    for to in envelope.to() {
        connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
    }
    connection.command(Data).await.map(drop)
}

/// Nothing more can be said: it is lost, or the server is about to close it (421; RFC 5321, section 3.8).
fn is_closed(error: &Error) -> bool {
    error.status().map_or(!error.is_client(), |code| u16::from(code) == 421)
}

/// A message as it travels, in one piece: dots doubled where a line begins (RFC 5321, section 4.5.2), and its end.
struct Content<'a>(&'a str);

impl std::fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, line) in self.0.split("\r\n").enumerate() {
            let (end, dot) =
                (if at == 0 { "" } else { "\r\n" }, if line.starts_with('.') { "." } else { "" });
            write!(f, "{end}{dot}{line}")?;
        }
        f.write_str("\r\n.\r\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The octets of RFC 5321, section 4.5.2; no line of the message reads as its end.
    #[test]
    fn a_message_travels_with_its_dots_doubled() {
        assert_eq!(Content("a\r\n.\r\n..b\r\nc.d").to_string(), "a\r\n..\r\n...b\r\nc.d\r\n.\r\n");
        assert_eq!(Content(".a\r\n").to_string(), "..a\r\n\r\n.\r\n");
    }
}
