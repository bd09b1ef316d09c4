//! An e-mail as RFC 5322 writes it: made once, by the crate `lettre`, whoever carries it.
//!
//! What people have written (names, subjects) is put into headers by `lettre`, which encodes every byte that could
//! end one; control characters are taken out before, so that nothing of them is left to encode.

use chrono::{DateTime, Utc};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{Address as MailAddress, Message};

use super::parts::{Parts, PartsError};
use super::{Address, Enclosure, Outgoing, SendError};

/// The longest subject, in characters; what is beyond is cut off.
const SUBJECT: usize = 250;
/// The longest body, text, HTML and what is enclosed together, in bytes.
const BODY_BYTES: usize = 4 << 20;

/// Who an e-mail is from.
#[derive(Clone)]
pub(crate) struct Sender(Mailbox);

impl Sender {
    /// `fromEmail` and `fromName` of the credentials.
    pub(crate) fn of(parts: &Parts) -> Result<Self, PartsError> {
        let malformed = |_| PartsError::Malformed("fromEmail", "it is an e-mail address");
        let address: MailAddress = parts.need("fromEmail")?.parse().map_err(malformed)?;
        Ok(Self(Mailbox::new(parts.get("fromName").map(on_one_line), address)))
    }

    /// The address.
    pub(crate) fn address(&self) -> &str {
        self.0.email.as_ref()
    }

    /// The name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The host of the address.
    pub(crate) fn host(&self) -> &str {
        self.0.email.domain()
    }
}

/// The text without what could end a header.
pub(crate) fn on_one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT).collect();
    text.trim().to_owned()
}

/// The same for every try of one message, so that a reader shows two copies as one.
pub(crate) fn message_id(sender: &Sender, message: &Outgoing) -> String {
    format!("<{}@{}>", message.dedupe_id, sender.host())
}

/// The message, ready for whoever carries it.
///
/// # Errors
///
/// [`SendError::Refused`] for another channel's address or a body beyond 4 MiB; [`SendError::BadAddress`] for one
/// that no mail can be sent to.
pub(crate) fn compose(sender: &Sender, message: &Outgoing, at: DateTime<Utc>) -> Result<Message, SendError> {
    let Address::Email(to) = &message.to else {
        return Err(SendError::Refused("the address is none of e-mail".to_owned()));
    };
    let enclosed_bytes = message.enclosure.as_ref().map_or(0, |it| it.bytes.len());
    if message.text.len() + message.html.as_ref().map_or(0, String::len) + enclosed_bytes > BODY_BYTES {
        return Err(SendError::Refused("the body is longer than 4 MiB".to_owned()));
    }
    let to: MailAddress = to
        .as_str()
        .parse()
        .map_err(|_| SendError::BadAddress("no mail goes to such an address".to_owned()))?;
    // RFC 3834, section 5: nobody's absence note answers it.
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let builder = Message::builder()
        .from(sender.0.clone())
        .to(Mailbox::new(None, to))
        .subject(on_one_line(&message.subject))
        .message_id(Some(message_id(sender, message)))
        .date(at.into())
        .raw_header(automatic);
    let text = message.text.clone();
    let both = |html: &String| MultiPart::alternative_plain_html(text.clone(), html.clone());
    let plain = || SinglePart::plain(text.clone());
    let mixed = MultiPart::mixed();
    let made = match (&message.html, &message.enclosure) {
        (Some(html), Some(file)) => {
            builder.multipart(mixed.multipart(both(html)).singlepart(enclosed(file)?))
        }
        (None, Some(file)) => builder.multipart(mixed.singlepart(plain()).singlepart(enclosed(file)?)),
        (Some(html), None) => builder.multipart(both(html)),
        (None, None) => builder.singlepart(plain()),
    };
    made.map_err(|error| SendError::Refused(super::http::shortened(&error.to_string())))
}

fn enclosed(enclosure: &Enclosure) -> Result<SinglePart, SendError> {
    let media_type = ContentType::parse(enclosure.media_type)
        .map_err(|_| SendError::Refused("what is enclosed has no media type".to_owned()))?;
    Ok(Attachment::new(on_one_line(&enclosure.file_name)).body(enclosure.bytes.clone(), media_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::outgoing;
    use proptest::prelude::*;

    fn sender(name: &str) -> Sender {
        let texts = [("fromEmail", "noreply@clinic.example"), ("fromName", name)];
        let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        Sender::of(&Parts::new(texts.collect())).unwrap()
    }

    /// The names of all headers, in their order.
    fn headers(message: &Message) -> Vec<String> {
        let text = String::from_utf8(message.formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split_once(':').expect("every line is a header").0.to_owned()).collect()
    }

    fn mail(name: &str, subject: &str, text: &str) -> Message {
        let to = Address::Email("ana@example.org".parse().unwrap());
        let message = Outgoing { subject: subject.into(), text: text.into(), ..outgoing(to) };
        compose(&sender(name), &message, storage::testing::now()).unwrap()
    }

    #[test]
    fn a_name_or_a_subject_adds_no_header() {
        let plain = headers(&mail("Clinic", "Hello", "text"));
        for evil in ["x\r\nBcc: all@example.org", "x\nBcc: a@b", "x\rBcc: a@b", "\r\n\r\nbody", "a\u{85}b\0"]
        {
            assert_eq!(headers(&mail(evil, evil, "text")), plain, "{evil:?}");
        }
        assert!(plain.contains(&"Auto-Submitted".to_owned()));
    }

    #[test]
    fn every_try_of_a_message_has_the_same_identifier() {
        let to = Address::Email("ana@example.org".parse().unwrap());
        let message = outgoing(to);
        let text =
            String::from_utf8(compose(&sender("C"), &message, storage::testing::now()).unwrap().formatted());
        let id = format!("Message-ID: <{}@clinic.example>", message.dedupe_id);
        assert!(text.unwrap().contains(&id));
    }

    proptest! {
        #[test]
        fn whatever_people_write_the_headers_stay_the_same(name in ".{1,60}", subject in ".{0,300}", text in ".{0,200}") {
            prop_assume!(!on_one_line(&name).is_empty());
            prop_assert_eq!(headers(&mail(&name, &subject, &text)).len(), headers(&mail("Clinic", "Hello", &text)).len());
        }
    }
}
