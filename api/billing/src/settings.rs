//! How a clinic bills: its taxes, terms and reminders, and which provider is asked for which money.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::ClinicId;
use clinical::invalid::{Invalid, invalid, line};
use clinical::money::Currency;
use serde::{Deserialize, Serialize};
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use storage::records::clinic::{Clinic, global_settings};
use utoipa::ToSchema;

use crate::invoice::Terms;
use crate::lines::WHOLE;
use crate::provider::ProviderName;

/// So many reminders or rules at most.
const MOST: usize = 20;

/// How a clinic bills; what is left out is as usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BillingSettings {
    /// Where it is (ISO 3166-1, two letters), as `IN`.
    #[schema(pattern = "^[A-Z]{2}$")]
    pub country: Option<String>,
    /// The tax on lines that name none, in hundredths of a per cent.
    #[schema(minimum = 0, maximum = 10_000)]
    pub tax_rate: i64,
    /// What stands before the number of an invoice.
    #[schema(max_length = 16)]
    pub invoice_prefix: String,
    /// So many days an invoice may be paid that names no day.
    #[schema(minimum = 0, maximum = 365)]
    pub due_days: i64,
    /// So many days after the last day somebody is reminded; an empty list: never.
    #[schema(max_items = 20)]
    pub reminder_days: Vec<i64>,
    /// So many days after the last day an invoice counts as uncollectible; left out, never by itself.
    #[schema(minimum = 1, maximum = 3_650)]
    pub give_up_days: Option<i64>,
    /// Which providers are asked in which order; the first rule that fits holds.
    #[schema(max_items = 20)]
    pub rules: Vec<ProviderRule>,
}

/// Who is asked for some money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderRule {
    /// Of payers there; left out, everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Z]{2}$")]
    pub country: Option<String>,
    /// In this currency; left out, in every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The first to be asked first.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 4)]
    pub providers: Vec<ProviderName>,
}

impl Default for BillingSettings {
    fn default() -> Self {
        Self {
            country: None,
            tax_rate: 0,
            invoice_prefix: "INV-".to_owned(),
            due_days: 14,
            reminder_days: vec![3, 7, 14],
            give_up_days: None,
            rules: Vec::new(),
        }
    }
}

struct Stored(serde_json::Value);

impl FromRow for Stored {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("settings").map(Self)
    }
}

impl BillingSettings {
    /// What the clinic has set, or what is usual.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database fails.
    pub async fn of(db: &mut Conn, clinic: ClinicId) -> Result<Self> {
        let select = "SELECT settings FROM billing_settings WHERE clinic_id = $1";
        let stored: Option<Stored> = sql(select).bind(clinic).fetch_optional(db).await?;
        let Some(Stored(json)) = stored else { return Ok(Self::default()) };
        serde_json::from_value(json).map_err(|_| DbError::Corrupt("billing_settings.settings".to_owned()))
    }

    /// Writes what the clinic has set, in place of what it had.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database fails.
    pub async fn write(&self, db: &mut Tx, clinic: ClinicId, now: DateTime<Utc>) -> Result<()> {
        let upsert = "INSERT INTO billing_settings (clinic_id, settings, changed_at) VALUES ($1, $2, $3)
                      ON CONFLICT (clinic_id) DO UPDATE SET settings = excluded.settings,
                             changed_at = excluded.changed_at";
        sql(upsert).bind(clinic).bind(serde_json::json!(self)).bind(now).execute(db).await.map(|_| ())
    }

    /// What of it cannot be.
    pub(crate) fn faults(&self) -> Vec<Invalid> {
        let mut faults = Vec::new();
        let is_country =
            |text: &String| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let mut countries = self.rules.iter().filter_map(|rule| rule.country.as_ref()).chain(&self.country);
        if !countries.all(is_country) {
            faults.push(invalid("country", "is two capital letters of ISO 3166-1"));
        }
        if !(0..=WHOLE).contains(&self.tax_rate) {
            faults.push(invalid("taxRate", "is 0 to 10,000 hundredths of a per cent"));
        }
        if !self.invoice_prefix.is_empty()
            && let Err(fault) = line("invoicePrefix", &self.invoice_prefix, 16)
        {
            faults.push(fault);
        }
        if !(0..=365).contains(&self.due_days) {
            faults.push(invalid("dueDays", "is 0 to 365"));
        }
        let are_days = self.reminder_days.iter().all(|day| (0..=3_650).contains(day));
        if self.reminder_days.len() > MOST || !are_days || !self.reminder_days.is_sorted() {
            faults.push(invalid("reminderDays", "are at most 20 growing numbers of days"));
        }
        if self.give_up_days.is_some_and(|days| !(1..=3_650).contains(&days)) {
            faults.push(invalid("giveUpDays", "is 1 to 3,650"));
        }
        let are_rules = self.rules.iter().all(|rule| (1..=4).contains(&rule.providers.len()));
        if self.rules.len() > MOST || !are_rules {
            faults.push(invalid("rules", "are at most 20, each with one to four providers"));
        }
        faults
    }

    /// Whom to ask for money in `currency` from a payer in `country`, the first to be asked first.
    ///
    /// Without a rule: Razorpay and then PhonePe in India, Stripe and then PayPal elsewhere.
    pub fn providers(&self, currency: Currency, country: Option<&str>) -> Vec<ProviderName> {
        let country = country.or(self.country.as_deref());
        let fits = |rule: &&ProviderRule| {
            rule.currency.is_none_or(|wanted| wanted == currency)
                && rule.country.as_deref().is_none_or(|wanted| Some(wanted) == country)
        };
        if let Some(rule) = self.rules.iter().find(fits) {
            return rule.providers.clone();
        }
        let is_indian = currency.code() == "INR";
        match is_indian {
            true => vec![
                ProviderName::Razorpay,
                ProviderName::PhonePe,
                ProviderName::Stripe,
                ProviderName::PayPal,
            ],
            false => vec![ProviderName::Stripe, ProviderName::PayPal, ProviderName::Razorpay],
        }
    }

    /// How issued invoices are due.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            due_days: self.due_days,
            first_reminder_days: self.reminder_days.first().copied(),
            give_up_days: self.give_up_days,
        }
    }

    /// How long after the reminder of the number `sent` the next one is; `None` where that was the last.
    pub(crate) fn next_reminder(&self, sent: i64) -> Option<TimeDelta> {
        let place = usize::try_from(sent).ok()?;
        let next = self.reminder_days.get(place)?;
        let before = place.checked_sub(1).and_then(|it| self.reminder_days.get(it)).unwrap_or(&0);
        Some(TimeDelta::days(next - before))
    }
}

/// The currency of the clinic's prices: its own setting, else the service's, else US dollars.
///
/// # Errors
///
/// [`DbError`] when the database fails.
pub async fn usual_currency(db: &mut Conn, clinic: ClinicId) -> Result<Currency> {
    let own = Clinic::find(db, clinic).await?.settings;
    let name = |settings: &storage::records::clinic::Settings| {
        settings.get("currency").and_then(|value| value.as_str()?.parse().ok())
    };
    if let Some(currency) = name(&own) {
        return Ok(currency);
    }
    let global = name(&global_settings(db).await?);
    global.map_or_else(|| "USD".parse().map_err(|_| DbError::Corrupt("currency".to_owned())), Ok)
}

#[cfg(test)]
mod tests {
    use storage::testing::{now, on_both};

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    /// The clinic application's own rule.
    #[test]
    fn india_is_asked_through_razorpay_and_phonepe_and_the_world_through_stripe_and_paypal() {
        let usual = BillingSettings::default();
        let rupees = usual.providers(currency("INR"), None);
        assert_eq!(rupees[..2], [ProviderName::Razorpay, ProviderName::PhonePe]);
        assert_eq!(usual.providers(currency("EUR"), None)[..2], [ProviderName::Stripe, ProviderName::PayPal]);
    }

    #[test]
    fn the_first_rule_that_fits_holds() {
        let rule = |country: Option<&str>, code: Option<&str>, provider| ProviderRule {
            country: country.map(str::to_owned),
            currency: code.map(currency),
            providers: vec![provider],
        };
        let settings = BillingSettings {
            country: Some("IN".into()),
            rules: vec![
                rule(Some("IN"), Some("USD"), ProviderName::PayPal),
                rule(None, Some("INR"), ProviderName::PhonePe),
                rule(Some("DE"), None, ProviderName::Stripe),
            ],
            ..BillingSettings::default()
        };
        assert_eq!(settings.faults(), []);
        assert_eq!(settings.providers(currency("USD"), None), [ProviderName::PayPal]);
        assert_eq!(settings.providers(currency("INR"), Some("DE")), [ProviderName::PhonePe]);
        assert_eq!(settings.providers(currency("EUR"), Some("DE")), [ProviderName::Stripe]);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let odd = BillingSettings {
            country: Some("India".into()),
            tax_rate: -1,
            invoice_prefix: "A\r\n".into(),
            due_days: 366,
            reminder_days: vec![7, 3],
            give_up_days: Some(0),
            rules: vec![ProviderRule { country: None, currency: None, providers: vec![] }],
        };
        let members: Vec<_> = odd.faults().iter().map(|fault| fault.member).collect();
        let expected =
            ["country", "taxRate", "invoicePrefix", "dueDays", "reminderDays", "giveUpDays", "rules"];
        assert_eq!(members, expected);
    }

    #[tokio::test]
    async fn what_is_set_reads_back() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            assert_eq!(BillingSettings::of(&mut tx, clinic).await.unwrap(), BillingSettings::default());
            assert_eq!(usual_currency(&mut tx, clinic).await.unwrap().code(), "USD");
            for due_days in [7, 30] {
                let set = BillingSettings { due_days, ..BillingSettings::default() };
                set.write(&mut tx, clinic, now()).await.unwrap();
                assert_eq!(BillingSettings::of(&mut tx, clinic).await.unwrap(), set);
            }
        })
        .await;
    }
}
