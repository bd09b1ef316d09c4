//! A provider as a clinic names it: what may be shown, and what must not.

use std::collections::BTreeMap;
use std::fmt;

use gate::Problem;
use http::StatusCode;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use storage::records::credential::{Credential, NewCredential, NewSecret};
use storage::records::webhook::target::Targets;
use storage::secret::Plain;
use utoipa::ToSchema;

use crate::channel::Provider;
use crate::channel::reach::may_be_named;

/// A provider's credentials have so many parts at most.
const PARTS: usize = 16;
/// The longest part, in bytes: a key file fits.
const PART_BYTES: usize = 8192;
const SENDER_CHARACTERS: usize = 254;
/// The parts of credentials that are no secret: the sender as people see it.
const PUBLIC: [&str; 3] = ["fromEmail", "fromName", "fromNumber"];

/// A provider with what opens its door.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProviderRequest {
    /// As `zeptomail`, `aws_ses`, `smtp`, `meta_business`, `twilio`, `aws_sns`, `firebase_fcm`.
    provider: String,
    /// The sender's address; may stand among the credentials too.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    from_email: Option<String>,
    /// The sender's name.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    from_name: Option<String>,
    /// The sender's number.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    from_number: Option<String>,
    /// The provider's own names with their texts. Left out, or `{"set": true}`, they stay as they were stored.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    credentials: Option<Credentials>,
}

/// What a provider wants to be shown; never printed.
pub(crate) enum Credentials {
    /// These texts by their names.
    These(BTreeMap<String, String>),
    /// Those that are stored.
    Stored,
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Parts)
    }
}

/// Reads them, each name once.
struct Parts;

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Flag(bool),
}

impl<'de> Visitor<'de> for Parts {
    type Value = Credentials;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Credentials, A::Error> {
        let (mut texts, mut is_set) = (BTreeMap::new(), false);
        // What a refusal says must not repeat what was sent.
        while let Some(name) = map.next_key::<String>().map_err(|_| Error::custom("credentials are texts"))? {
            let part = map.next_value().map_err(|_| Error::custom("credentials are texts"))?;
            let text = match part {
                Part::Flag(true) if name == "set" => {
                    is_set = true;
                    continue;
                }
                Part::Flag(_) => return Err(Error::custom("credentials are texts")),
                Part::Text(text) => text,
            };
            if texts.len() == PARTS || name.len() > 64 || text.len() > PART_BYTES {
                return Err(Error::custom("credentials have at most 16 parts of at most 8192 bytes"));
            }
            if texts.insert(name, text).is_some() {
                return Err(Error::custom("a part of the credentials stands twice"));
            }
        }
        match (is_set, texts.is_empty()) {
            (true, false) => Err(Error::custom("set stands alone: it means what is stored")),
            (true, true) => Ok(Credentials::Stored),
            (false, _) => Ok(Credentials::These(texts)),
        }
    }
}

/// A text of the sender, trimmed.
///
/// # Errors
///
/// 422 `invalid-text` names the field: empty, too long, or with control characters.
fn checked(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    let is_good =
        !text.is_empty() && text.chars().count() <= SENDER_CHARACTERS && !text.chars().any(char::is_control);
    if !is_good {
        let detail = format!("{field} has 1 to {SENDER_CHARACTERS} characters, without control characters");
        return Err(unfit("invalid-text", detail));
    }
    Ok(Some(text.to_owned()))
}

/// The refusal of what reads and does not do.
pub(crate) fn unfit(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

impl ProviderRequest {
    /// Checks it and parts what may be shown from what must not; `targets` are the machines that may be named.
    ///
    /// # Errors
    ///
    /// 422 `unknown-provider`, `invalid-text`, `invalid-host`; none repeats a credential.
    pub(crate) fn check(self, known: &[&str], targets: Targets) -> Result<NewCredential, Problem> {
        if !known.contains(&self.provider.as_str()) {
            let detail = format!("the providers of this channel are {}", known.join(", "));
            return Err(unfit("unknown-provider", detail));
        }
        let (mut texts, is_stored) = match self.credentials {
            None | Some(Credentials::Stored) => (BTreeMap::new(), true),
            Some(Credentials::These(texts)) => (texts, false),
        };
        let is_inside = |host: &String| !may_be_named(host, targets);
        if self.provider == Provider::Smtp.name() && texts.get("host").is_some_and(is_inside) {
            return Err(unfit("invalid-host", "host is a machine of the public Internet".to_owned()));
        }
        let mut public = serde_json::Map::new();
        for (name, given) in PUBLIC.into_iter().zip([self.from_email, self.from_name, self.from_number]) {
            let among = texts.remove(name);
            if let Some(text) = checked(name, given.or(among))? {
                public.insert(name.to_owned(), text.into());
            }
        }
        let secret = match (is_stored, texts.is_empty()) {
            (true, _) => NewSecret::Keep,
            (false, true) => NewSecret::None,
            (false, false) => NewSecret::Set(Plain::new(json!(texts).to_string())),
        };
        Ok(NewCredential { provider: self.provider, public: public.into(), secret })
    }
}

/// A provider without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderView {
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_number: Option<String>,
    credentials: CredentialsView,
}

/// Whether there are credentials; they themselves are never shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct CredentialsView {
    set: bool,
}

impl From<&Credential> for ProviderView {
    fn from(credential: &Credential) -> Self {
        let text = |name: &str| credential.public.get(name).and_then(Value::as_str).map(str::to_owned);
        let [from_email, from_name, from_number] = PUBLIC.map(text);
        let credentials = CredentialsView { set: credential.sealed.is_some() };
        Self { provider: credential.provider.clone(), from_email, from_name, from_number, credentials }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ProviderRequest, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_refusal_does_not_repeat_what_was_sent() {
        for credentials in [
            r#"{"token": ["s3cret"]}"#,
            r#"{"token": "s3cret", "token": "s3cret"}"#,
            r#"{"token": "s3cret", "set": true}"#,
            r#"{"token": {"s3cret": "s3cret"}}"#,
            r#"{"token": 83}"#,
            r#""s3cret""#,
        ] {
            let text = format!(r#"{{"provider": "smtp", "credentials": {credentials}}}"#);
            let refused = read(&text).err().expect(credentials).to_string();
            assert!(!refused.contains("s3cret") || credentials.starts_with('"'), "{refused}");
        }
    }

    #[test]
    fn the_sender_is_shown_and_the_rest_is_sealed() {
        let text = r#"{"provider": "zeptomail", "credentials":
            {"sendMailToken": "s3cret", "fromEmail": "noreply@clinic.com", "fromName": "Clinic Name"}}"#;
        let new = read(text).unwrap().check(&["zeptomail"], Targets::PublicOnly).unwrap();
        assert_eq!(new.public, json!({"fromEmail": "noreply@clinic.com", "fromName": "Clinic Name"}));
        let NewSecret::Set(secret) = new.secret else { panic!("it was sent") };
        assert_eq!(&*secret, br#"{"sendMailToken":"s3cret"}"#);
        let kept = read(r#"{"provider": "zeptomail", "credentials": {"set": true}}"#).unwrap();
        assert!(matches!(kept.check(&["zeptomail"], Targets::PublicOnly).unwrap().secret, NewSecret::Keep));
        assert_eq!(
            read(text).unwrap().check(&["smtp"], Targets::PublicOnly).unwrap_err().code(),
            "unknown-provider"
        );
    }
}
