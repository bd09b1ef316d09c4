//! E-mail by a server that speaks SMTP (RFC 5321), by the crate `lettre`: kept connections, TLS before any password.

use std::sync::Arc;

use clinical::clock::Clock;
use futures::future::BoxFuture;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::Certificate;
use lettre::transport::smtp::extension::ClientId;
use storage::records::webhook::target::Targets;

use self::connections::{Connections, Security, Server};
use super::mail::{Sender, compose, message_id};
use super::parts::{Parts, PartsError};
use super::{ANSWER_TIME, Address, Health, Notifier, Outgoing, Provider, SendError, Sent};

mod connections;

/// One mail server.
pub(crate) struct Smtp {
    sender: Sender,
    clock: Arc<dyn Clock>,
    connections: Connections,
}

impl Smtp {
    /// `host`, `port`, `security`, `username`, `password` and the sender; `authority` (PEM) is believed beside the
    /// machine's own; only `targets` are connected to.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when a part is missing or does not read, or a password would travel in the clear.
    pub(crate) fn new(
        parts: &Parts,
        authority: &str,
        targets: Targets,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PartsError> {
        let security = match parts.get("security") {
            None | Some("starttls") => Security::StartTls,
            Some("tls") => Security::Tls,
            Some("none") => Security::None,
            Some(_) => return Err(PartsError::Malformed("security", "it is starttls, tls or none")),
        };
        let port = parts.get("port").map_or(Ok(security.usual_port()), str::parse);
        let port = port.map_err(|_| PartsError::Malformed("port", "it is a number up to 65535"))?;
        let credentials = match (parts.get("username"), parts.get("password")) {
            (Some(name), Some(password)) => Some(Credentials::new(name.to_owned(), password.to_owned())),
            (None, None) => None,
            (Some(_), None) => return Err(PartsError::Missing("password")),
            (None, Some(_)) => return Err(PartsError::Missing("username")),
        };
        if credentials.is_some() && security == Security::None {
            return Err(PartsError::Malformed("security", "a password travels over TLS alone"));
        }
        let host = parts.need("host")?;
        if host.len() > 253
            || !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'))
        {
            return Err(PartsError::Malformed("host", "it is the name or the address of a machine"));
        }
        let authority =
            (!authority.is_empty()).then(|| Certificate::from_pem(authority.as_bytes())).transpose();
        let authority =
            authority.map_err(|_| PartsError::Malformed("smtp_authority", "it is a certificate in PEM"))?;
        let sender = Sender::of(parts)?;
        let hello = ClientId::Domain(sender.host().to_owned());
        let server = Server { host: host.to_owned(), port, security, credentials, authority, targets, hello };
        Ok(Self { sender, clock, connections: Connections::to(server) })
    }

    async fn hand_over(&self, message: &Outgoing) -> Result<Sent, SendError> {
        let mail = compose(&self.sender, message, self.clock.now())?;
        self.connections.deliver(&mail).await?;
        // A server's own name for the message has no agreed place in its answer; bounces quote ours.
        Ok(Sent { provider: Provider::Smtp, provider_message_id: Some(message_id(&self.sender, message)) })
    }
}

impl Notifier for Smtp {
    fn provider(&self) -> Provider {
        Provider::Smtp
    }

    fn takes(&self, to: &Address) -> bool {
        matches!(to, Address::Email(_))
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async {
            let answer = tokio::time::timeout(ANSWER_TIME, self.hand_over(message)).await;
            answer.unwrap_or_else(|_| Err(SendError::Unreachable("no answer in time".to_owned())))
        })
    }

    fn probe(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            match tokio::time::timeout(ANSWER_TIME, self.connections.knock()).await {
                Ok(Ok(())) => Health::Healthy,
                Ok(Err(SendError::Authentication(_) | SendError::Refused(_))) => Health::Refusing,
                Ok(Err(SendError::Throttled { .. })) => Health::Healthy,
                Ok(Err(_)) | Err(_) => Health::Down,
            }
        })
    }
}

/// What a failure means; the server's words stay behind, since they repeat the address.
fn refusal(error: &lettre::transport::smtp::Error) -> SendError {
    match error.status() {
        Some(code) => {
            let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            sorted(code.into(), enhanced(&words))
        }
        // What the server cannot take, as an address beyond ASCII without SMTPUTF8.
        None if error.is_client() => SendError::Refused("the server cannot take such a message".to_owned()),
        None if error.is_tls() => SendError::Unreachable("TLS failed".to_owned()),
        None => SendError::Unreachable("no connection, or it was lost".to_owned()),
    }
}

/// The status code of RFC 3463 in a server's words, as `(5, 1, 1)`.
fn enhanced(words: &str) -> Option<(u16, u16, u16)> {
    words.split_whitespace().take(4).find_map(|word| {
        let mut numbers = word.trim_matches(|c: char| !c.is_ascii_digit()).splitn(3, '.').map(str::parse);
        match (numbers.next()?, numbers.next()?, numbers.next()?) {
            (Ok(class @ (2 | 4 | 5)), Ok(subject), Ok(detail)) => Some((class, subject, detail)),
            _ => None,
        }
    })
}

/// Sorts a reply by its code (RFC 5321, section 4.2.3; RFC 4954, section 6) and the enhanced one (RFC 3463, section 3).
fn sorted(code: u16, enhanced: Option<(u16, u16, u16)>) -> SendError {
    let why = match enhanced {
        Some((class, subject, detail)) => format!("{code} {class}.{subject}.{detail}"),
        None => code.to_string(),
    };
    match (code, enhanced) {
        // Too many connections at once, as Exchange says it.
        (432, Some((4, 3, _))) => SendError::Throttled { retry_after: None },
        (432 | 530 | 534 | 535 | 538, _) | (_, Some((5, 7, 8 | 9))) => SendError::Authentication(why),
        (421 | 450..=452 | 454, _) => SendError::Throttled { retry_after: None },
        (400..=499, _) => SendError::Unreachable(why),
        // Bad mailbox, bad system, bad syntax, moved, no mailbox; a mailbox that is disabled.
        (_, Some((5, 1, 0..=4 | 6 | 10) | (5, 2, 1))) => SendError::BadAddress(why),
        (_, Some(_)) => SendError::Refused(why),
        (550 | 551 | 553, None) => SendError::BadAddress(why),
        _ => SendError::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies that Postfix, Exim, Gmail and Exchange document, or the RFCs give as examples.
    #[test]
    fn a_reply_says_whether_address_message_or_server_is_at_fault() {
        let sort = |code, words| sorted(code, enhanced(words));
        let bad = |words| matches!(sort(550, words), SendError::BadAddress(_));
        assert!(bad("5.1.1 <x@y.org>: Recipient address rejected: User unknown in local recipient table"));
        assert!(bad("Requested action not taken: mailbox unavailable"));
        assert!(bad("5.2.1 The email account that you tried to reach is disabled."));
        assert!(!bad("5.7.1 Message contains spam content"), "the address is good");
        assert!(matches!(
            sort(535, "5.7.8 Authentication credentials invalid"),
            SendError::Authentication(_)
        ));
        assert!(matches!(
            sort(432, "4.3.2 Concurrent connections limit exceeded"),
            SendError::Throttled { .. }
        ));
        assert!(matches!(sort(552, "5.2.2 mailbox full"), SendError::Refused(_)));
        assert!(matches!(sort(451, "4.7.1 greylisted, try again later"), SendError::Throttled { .. }));
        assert!(matches!(sort(554, "5.7.1 relay access denied"), SendError::Refused(_)));
        let SendError::BadAddress(why) = sort(550, "5.1.1 <x@y.org>: unknown") else { panic!("it is one") };
        assert_eq!(why, "550 5.1.1", "an address is somebody's");
    }

    #[test]
    fn a_password_travels_over_tls_alone() {
        let parts = |security: &str| {
            let texts = [
                ("host", "mail.example.org"),
                ("username", "u"),
                ("password", "p"),
                ("fromEmail", "a@example.org"),
                ("security", security),
            ];
            Parts::new(texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
        };
        let made = |security| {
            let clock = Arc::new(clinical::clock::SystemClock);
            Smtp::new(&parts(security), "", Targets::PublicOnly, clock)
        };
        assert!(made("").is_ok() && made("tls").is_ok());
        assert_eq!((Security::StartTls.usual_port(), Security::Tls.usual_port()), (587, 465));
        assert!(matches!(made("none"), Err(PartsError::Malformed("security", _))));
        assert!(matches!(made("ssl3"), Err(PartsError::Malformed("security", _))));
    }
}
