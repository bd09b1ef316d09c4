//! What many requests hold: whose record, how much, in words.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, InvoiceId, PatientId, PaymentId};
use clinical::invalid::{Invalid, invalid, line, optional_line};
use clinical::money::{Currency, Money, MoneyError};
use clinical::role::Reach;
use gate::{Caller, Problem};
use serde::Deserialize;
use storage::db::{Conn, DbError};
use storage::records::patient::{Patient, Shown};
use utoipa::ToSchema;

use crate::invoice::Invoice;
use crate::lines::MOST_MINOR;
use crate::payment::Payment;

/// The longest words about a payment or an invoice.
pub(crate) const WORDS: usize = 500;

/// The day by which an invoice is to be paid is no further from now.
const DUE_DAYS: TimeDelta = TimeDelta::days(3_650);

/// An invoice, by our identifier or by its number in the clinic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged, expecting = "is the id or the number of an invoice")]
pub(crate) enum InvoiceRef {
    /// By our identifier.
    Id(InvoiceId),
    /// By its number.
    Number(i64),
}

impl InvoiceRef {
    /// The invoice, where it is the caller's to see.
    pub(crate) async fn load(self, rows: &mut Conn, caller: &Caller) -> Result<Invoice, Problem> {
        let invoice = match self {
            Self::Id(id) => Invoice::find(rows, caller.clinic, id).await?,
            Self::Number(number) => Invoice::numbered(rows, caller.clinic, number).await?,
        };
        sees(rows, caller, invoice.patient_id).await?;
        caller.about_record(invoice.invoice_id);
        Ok(invoice)
    }
}

/// A payment by our identifier or by the provider's, where it is the caller's to see.
pub(crate) async fn payment(rows: &mut Conn, caller: &Caller, name: &str) -> Result<Payment, Problem> {
    let payment = match name.parse::<PaymentId>() {
        Ok(id) => Payment::find(rows, caller.clinic, id).await?,
        Err(_) => Payment::by_ref(rows, caller.clinic, None, name).await?,
    };
    sees(rows, caller, payment.patient_id).await?;
    caller.about_record(payment.payment_id);
    Ok(payment)
}

/// Passes where a record of this patient is the caller's to see; one of nobody in particular is the clinic's.
pub(crate) async fn sees(
    rows: &mut Conn,
    caller: &Caller,
    patient: Option<PatientId>,
) -> Result<(), Problem> {
    match patient {
        Some(patient) => caller.sees(rows, patient).await,
        None if caller.reach == Reach::Own => Err(Problem::not_found()),
        None => Ok(()),
    }
}

/// Of whom a list is: of the asked patient or everybody; whose right reaches only their own records gets these alone.
/// `None` where the caller has none.
pub(crate) fn listed(caller: &Caller, asked: Option<PatientId>) -> Option<(Option<PatientId>, Shown)> {
    if caller.reach > Reach::Own {
        return Some((asked, caller.shown()));
    }
    let own = caller.patient?;
    asked.is_none_or(|asked| asked == own).then_some((Some(own), Shown::Everybody))
}

/// The patient that something new is for: the one that is named, and must be the caller's to see, or their own.
pub(crate) async fn patient_for(
    rows: &mut Conn,
    caller: &Caller,
    named: Option<PatientId>,
) -> Result<Option<PatientId>, Problem> {
    if caller.reach == Reach::Own {
        let own = caller.patient.ok_or_else(Problem::not_found)?;
        if named.is_some_and(|named| named != own) {
            return Err(Problem::not_found());
        }
        caller.about(own);
        return Ok(Some(own));
    }
    let Some(named) = named else { return Ok(None) };
    let patient = known_patient(rows, caller.clinic, named).await?;
    caller.sees(rows, patient).await?;
    Ok(Some(patient))
}

/// The record that stands for a patient.
async fn known_patient(rows: &mut Conn, clinic: ClinicId, id: PatientId) -> Result<PatientId, DbError> {
    Ok(Patient::survivor(rows, clinic, id).await?.patient_id)
}

/// A sum in minor units: above zero, and not beyond what is billed at once.
pub(crate) fn sum(member: &'static str, minor: i64, currency: Currency) -> Result<Money, Invalid> {
    match minor {
        1..=MOST_MINOR => Ok(Money::new(minor, currency)),
        i64::MIN..=0 => Err(invalid(member, "is above zero")),
        _ => Err(invalid(member, "is too large")),
    }
}

/// Holds the day by which an invoice is to be paid, as `member` says it, to the years around now.
pub(crate) fn due_day(
    member: &'static str,
    due_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    if due_at.is_none_or(|at| (at - now).abs() <= DUE_DAYS) {
        return Ok(due_at);
    }
    Err(refused("invalid-due-day", invalid(member, "is within ten years of today")))
}

/// Why a decimal is no sum of a currency.
pub(crate) fn fault(member: &'static str, error: MoneyError) -> Invalid {
    let rule = match error {
        MoneyError::UnknownCurrency => "is no currency of ISO 4217",
        MoneyError::OtherCurrency => "is of another currency",
        MoneyError::TooLarge => "is too large",
        MoneyError::TooFine => "has more digits than the currency",
        MoneyError::NotANumber => "is no decimal number",
    };
    invalid(member, rule)
}

/// A currency by its code.
pub(crate) fn currency(code: &str) -> Result<Currency, Problem> {
    code.parse().map_err(|error| refused("invalid-currency", fault("currency", error)))
}

/// The refusal of one member.
pub(crate) fn refused(code: &'static str, fault: Invalid) -> Problem {
    Problem::invalid(code, vec![fault])
}

/// Holds words to a line.
pub(crate) fn words(member: &'static str, text: &str) -> Result<(), Problem> {
    line(member, text, WORDS).map_err(|fault| refused("invalid-text", fault))
}

/// Holds optional words to a line.
pub(crate) fn optional_words(member: &'static str, text: Option<&String>) -> Result<(), Problem> {
    optional_line(member, text, WORDS).map_err(|fault| refused("invalid-text", fault))
}

/// Holds an address of the payer's browser to http and https.
pub(crate) fn return_url(text: Option<&String>) -> Result<(), Problem> {
    let Some(text) = text else { return Ok(()) };
    let is_web = url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http") && url.has_host() && url.username().is_empty()
    });
    if is_web && text.len() <= 2_000 && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(refused("invalid-url", invalid("returnUrl", "is an address of http or https")))
}
