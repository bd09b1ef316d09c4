//! What providers report of messages that they have taken: who reports is checked first, then what it means.
//!
//! SMTP and Web Push report nothing; Firebase and SNS report only when they are handed a message. A report says
//! nothing that was not so the first time, so a copy of it changes nothing.

mod sns;
mod whatsapp;
mod zeptomail;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use gate::Problem;
use http::{HeaderMap, StatusCode};
use storage::db::DbError;
use storage::records::user::EmailAddress;

pub(crate) use sns::Certificates;
pub(crate) use whatsapp::challenge;

use super::parts::Parts;
use super::{Channel, Fate, Provider, Report, Switchboard};

/// One call reports about so many messages at most.
const REPORTS: usize = 1_000;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// This provider reports nothing.
    #[error("there is no such webhook")]
    Unknown,
    /// It is not from whom it says, or nobody has said how that would be known.
    #[error("the signature does not hold")]
    Signature,
    /// It is from them and does not read.
    #[error("the report does not read")]
    Malformed,
    /// Who it is from cannot be checked now.
    #[error("the certificate cannot be had")]
    Certificate,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] DbError),
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let detail = error.to_string();
        match error {
            WebhookError::Unknown => Self::not_found(),
            WebhookError::Signature => Self::new(StatusCode::UNAUTHORIZED, "invalid-signature", detail),
            WebhookError::Malformed => Self::bad_request("invalid-report", detail),
            WebhookError::Certificate => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "certificate-unavailable", detail)
            }
            WebhookError::Database(error) => error.into(),
        }
    }
}

/// A call of a webhook.
pub(crate) struct Call<'c> {
    pub(crate) provider: Provider,
    /// Whose webhook was called; `None` for the one of all clinics.
    pub(crate) clinic: Option<ClinicId>,
    pub(crate) headers: &'c HeaderMap,
    pub(crate) body: &'c [u8],
    pub(crate) now: DateTime<Utc>,
}

impl Call<'_> {
    /// A header as text; empty where it is missing.
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn report(&self, channel: Channel, fate: Fate) -> Report {
        Report {
            provider: self.provider,
            clinic_id: self.clinic,
            channel,
            provider_message_id: None,
            address: None,
            fate,
            reason: None,
            at: self.now,
        }
    }
}

/// Checks who calls, and says what they report.
///
/// # Errors
///
/// [`WebhookError`]: nothing of the call may be believed.
pub(crate) async fn read(board: &Switchboard, call: &Call<'_>) -> Result<Vec<Report>, WebhookError> {
    let known: Vec<Parts> = board.parts_of(call.clinic, call.provider).await?;
    let mut reports = match call.provider {
        Provider::Zeptomail => zeptomail::read(&known, call)?,
        Provider::AwsSes => sns::read(board, &known, call).await?,
        Provider::MetaBusiness => whatsapp::read(&known, call)?,
        _ => return Err(WebhookError::Unknown),
    };
    reports.truncate(REPORTS);
    Ok(reports)
}

/// An address as it is compared; `None` where it is none.
fn email_key(text: &str) -> Option<String> {
    text.parse::<EmailAddress>().ok().map(|address| address.key())
}

/// The instant of a text of RFC 3339, which no provider's clock may put into the future.
fn instant(text: &str, now: DateTime<Utc>) -> DateTime<Utc> {
    use chrono::SubsecRound;
    let at = text.parse::<DateTime<Utc>>().unwrap_or(now).trunc_subsecs(6);
    at.min(now)
}
