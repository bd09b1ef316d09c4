//! Where messages go: mailboxes, telephones, devices, browsers. A log that prints one prints no address.

use std::fmt;

use serde::{Deserialize, Serialize};
use storage::records::user::EmailAddress;
use storage::records::webhook::target::{Targets, UrlError, WebhookUrl};

use super::{Channel, web_push};

/// A telephone number as the world writes it: `+` and 7 to 15 digits (ITU-T E.164).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// A text that is no telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a telephone number is written as +4915112345678: a plus and 7 to 15 digits, the country's first")]
pub struct NoPhoneNumber;

impl std::str::FromStr for PhoneNumber {
    type Err = NoPhoneNumber;

    /// Spaces, hyphens, dots and brackets between the digits are left out.
    fn from_str(text: &str) -> Result<Self, NoPhoneNumber> {
        if text.len() > 64 {
            return Err(NoPhoneNumber);
        }
        let number: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
        let digits = number.strip_prefix('+').ok_or(NoPhoneNumber)?;
        let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || digits.starts_with('0') { Err(NoPhoneNumber) } else { Ok(Self(number)) }
    }
}

impl PhoneNumber {
    /// `+` and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits alone.
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }
}

/// Numbers are people's: a log that prints one prints this.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// A browser that wants pushes, as its `PushSubscription` says it (W3C Push API, section 8).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    endpoint: String,
    p256dh: String,
    auth: String,
}

/// Why a browser's subscription is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// Its address may not be spoken to.
    #[error("the endpoint is refused: {0}")]
    Endpoint(#[from] UrlError),
    /// Its address is not one of a push service, which all speak TLS.
    #[error("the endpoint begins with https://")]
    Plain,
    /// Its public key is no point of the curve P-256.
    #[error("p256dh is the base64url of an uncompressed point of P-256, 65 bytes")]
    Key,
    /// Its secret has another length.
    #[error("auth is the base64url of 16 bytes")]
    Secret,
}

impl Subscription {
    /// Checks what a browser says: the endpoint is no inside address (a name is asked for its addresses when a
    /// push is sent), the key is a point of the curve, and the secret has its length.
    ///
    /// Source: RFC 8291, sections 2 and 3.2.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`] says what is wrong.
    pub fn check(
        endpoint: &str,
        p256dh: &str,
        auth: &str,
        targets: Targets,
    ) -> Result<Self, SubscriptionError> {
        let url = WebhookUrl::check(endpoint, targets)?;
        if targets == Targets::PublicOnly && !url.as_str().starts_with("https:") {
            return Err(SubscriptionError::Plain);
        }
        web_push::receiver_key(p256dh).ok_or(SubscriptionError::Key)?;
        web_push::receiver_secret(auth).ok_or(SubscriptionError::Secret)?;
        let [p256dh, auth] = [p256dh, auth].map(|text| text.trim_end_matches('=').to_owned());
        Ok(Self { endpoint: url.as_str().to_owned(), p256dh, auth })
    }

    /// Where its pushes are sent.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The browser's public key, as base64url.
    pub fn p256dh(&self) -> &str {
        &self.p256dh
    }

    /// The secret between the browser and us, as base64url.
    pub fn auth(&self) -> &str {
        &self.auth
    }
}

/// Who knows it may push to somebody's browser: a log that prints one prints this.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription(…)")
    }
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A mailbox.
    Email(EmailAddress),
    /// A telephone that takes short messages.
    Sms(PhoneNumber),
    /// A telephone with WhatsApp.
    Whatsapp(PhoneNumber),
    /// A device that Firebase knows by this registration token.
    FcmToken(String),
    /// A device that Amazon SNS knows by this ARN of a platform endpoint.
    SnsEndpoint(String),
    /// A browser.
    Browser(Subscription),
}

impl Address {
    /// The channel that it belongs to.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Sms(_) => Channel::Sms,
            Self::Whatsapp(_) => Channel::Whatsapp,
            Self::FcmToken(_) | Self::SnsEndpoint(_) | Self::Browser(_) => Channel::Push,
        }
    }

    /// As it is compared and suppressed: an e-mail address in lower case, `+` and digits, a token, an ARN, a
    /// browser's endpoint.
    pub fn key(&self) -> String {
        match self {
            Self::Email(address) => address.key(),
            Self::Sms(number) | Self::Whatsapp(number) => number.as_str().to_owned(),
            Self::FcmToken(text) | Self::SnsEndpoint(text) => text.clone(),
            Self::Browser(subscription) => subscription.endpoint.clone(),
        }
    }
}

/// Addresses are people's: a log that prints one prints its channel.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.channel().name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ITU-T E.164, section 6: at most 15 digits, the country's code first, which never begins with 0.
    #[test]
    fn a_telephone_number_has_its_country_first() {
        let number: PhoneNumber = "+49 (151) 1234-5678".parse().unwrap();
        assert_eq!((number.as_str(), number.digits()), ("+4915112345678", "4915112345678"));
        for bad in
            ["4915112345678", "+49", "+0151123456", "+1234567890123456", "+49 151 CALL", "", "++4915112345"]
        {
            assert!(bad.parse::<PhoneNumber>().is_err(), "{bad}");
        }
        assert_eq!(format!("{number:?} {:?}", Address::Sms(number.clone())), "PhoneNumber(…) Address(sms)");
    }

    /// The subscription of RFC 8291, section 5, at other endpoints.
    #[test]
    fn a_browser_names_no_inside_address() {
        let check = |endpoint: &str| {
            let key =
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
            Subscription::check(endpoint, key, "BTBZMqHH6r4Tts7J_aSIgg", Targets::PublicOnly)
        };
        assert!(check("https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV").is_ok());
        for inside in [
            "https://127.0.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]:8080/",
            "https://localhost/x",
            "https://2130706433/",
        ] {
            assert_eq!(check(inside), Err(SubscriptionError::Endpoint(UrlError::Private)), "{inside}");
        }
        assert_eq!(check("http://push.example.net/x"), Err(SubscriptionError::Plain));
        assert_eq!(check("file:///etc/passwd"), Err(SubscriptionError::Endpoint(UrlError::Scheme)));
    }
}
