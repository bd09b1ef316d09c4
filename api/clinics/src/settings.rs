//! What a clinic has set, and where a value comes from that it has not.

use std::collections::BTreeMap;

use axum::extract::State;
use clinical::event::Event;
use clinical::imaging::ResultKind;
use gate::{App, Caller, Json, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::outbox;
use storage::records::clinic::{Clinic, Settings, global_settings, set_globally};
use utoipa::ToSchema;

use crate::deidentify::Deidentify;
use crate::text;

const CONTACT_CHARACTERS: usize = 254;

/// What is set; what is left out or `null` falls back.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SettingsRequest {
    /// Language of letters and messages (BCP 47), as `en` or `sw-KE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 35, pattern = "^[A-Za-z]{2,8}(-[0-9A-Za-z]{1,8})*$")]
    locale: Option<String>,
    /// Of prices (ISO 4217), as `KES`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 3, pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// Where patients write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    contact_email: Option<String>,
    /// Where patients call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    contact_phone: Option<String>,
    /// How long an appointment lasts where nothing else is said: 5 to 480.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 5, maximum = 480)]
    appointment_minutes: Option<u32>,
    /// How long records are kept at least: 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    record_retention_years: Option<u32>,
    /// For how many hours a restricted record stays open to who has broken the glass: 1 to 24.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 24)]
    break_glass_hours: Option<u32>,
    /// Whether what senders send is de-identified before it is stored, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    deidentify_on_receipt: Option<Deidentify>,
    /// So many bytes of images and other objects are kept at most; 0: as many as there is room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    storage_quota_bytes: Option<u64>,
    /// Whether objects that do not match, or that nobody can tell from others, are held back to be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_refused: Option<bool>,
    /// Which objects are made of what was found and stored in the study; an empty list: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 6)]
    result_objects: Option<Vec<ResultKind>>,
}

/// What holds where nobody has set anything.
fn built_in() -> Settings {
    [
        ("locale", json!("en")),
        ("currency", json!("USD")),
        ("contactEmail", Value::Null),
        ("contactPhone", Value::Null),
        ("appointmentMinutes", json!(15)),
        ("recordRetentionYears", json!(10)),
        ("breakGlassHours", json!(4)),
        ("deidentifyOnReceipt", json!("off")),
        ("storageQuotaBytes", Value::Null),
        ("holdRefused", json!(false)),
        ("resultObjects", json!(ResultKind::USUAL)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

impl SettingsRequest {
    fn check(mut self) -> Result<Settings, Problem> {
        let invalid = |detail: &'static str| Problem::bad_request("invalid-setting", detail);
        if self.locale.as_deref().is_some_and(|text| !is_language_tag(text)) {
            return Err(invalid("locale is a language tag, as en or sw-KE"));
        }
        let is_currency = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if self.currency.as_deref().is_some_and(|text| !is_currency(text)) {
            return Err(invalid("currency is a code of ISO 4217, as KES"));
        }
        if self.appointment_minutes.is_some_and(|minutes| !(5..=480).contains(&minutes)) {
            return Err(invalid("appointmentMinutes is a whole number from 5 to 480"));
        }
        if self.record_retention_years.is_some_and(|years| !(1..=100).contains(&years)) {
            return Err(invalid("recordRetentionYears is a whole number from 1 to 100"));
        }
        if self.break_glass_hours.is_some_and(|hours| !(1..=24).contains(&hours)) {
            return Err(invalid("breakGlassHours is a whole number from 1 to 24"));
        }
        // beyond it a number of JSON is no whole number any more (RFC 8259, section 6)
        if self.storage_quota_bytes.is_some_and(|bytes| bytes > 9_007_199_254_740_991) {
            return Err(invalid("storageQuotaBytes is a whole number from 0 to 9007199254740991"));
        }
        if self.deidentify_on_receipt.as_ref().is_some_and(Deidentify::has_too_many) {
            return Err(invalid("each option of deidentifyOnReceipt is named once"));
        }
        if self.result_objects.as_ref().is_some_and(|kinds| kinds.len() > ResultKind::ALL.len()) {
            return Err(invalid("each kind of resultObjects is named once"));
        }
        let contact = |field, text| {
            text::optional(field, text, CONTACT_CHARACTERS)
                .map_err(|_| invalid("a contact has 1 to 254 characters, without control characters"))
        };
        self.contact_email = contact("contactEmail", self.contact_email.take())?;
        self.contact_phone = contact("contactPhone", self.contact_phone.take())?;
        match json!(self) {
            Value::Object(values) => Ok(values.into_iter().collect()),
            _ => Err(invalid("the settings are an object")),
        }
    }
}

/// RFC 5646, section 2.1, as far as the shape goes: subtags of 1 to 8 letters and digits.
fn is_language_tag(text: &str) -> bool {
    let is_subtag =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = text.split('-').next().unwrap_or_default();
    text.len() <= 35
        && text.split('-').all(is_subtag)
        && (2..=8).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Every setting by its name.
pub(crate) type SettingsView = BTreeMap<String, SettingView>;

/// One value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct SettingView {
    /// What holds.
    value: Value,
    /// Who has set it.
    from: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The clinic has set it.
    Clinic,
    /// The service's operator has set it for every clinic.
    Global,
    /// Nobody has set it.
    BuiltIn,
}

/// The clinic's own values over the global ones over ours.
fn view(own: &Settings, global: &Settings) -> SettingsView {
    let of = |name: &String, ours: Value| match (own.get(name), global.get(name)) {
        (Some(value), _) => SettingView { value: value.clone(), from: Source::Clinic },
        (None, Some(value)) => SettingView { value: value.clone(), from: Source::Global },
        (None, None) => SettingView { value: ours, from: Source::BuiltIn },
    };
    built_in().into_iter().map(|(name, ours)| (name.clone(), of(&name, ours))).collect()
}

/// `GET /api/v1/clinics/{clinicId}/settings`
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<SettingsView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let own = Clinic::find(&mut rows, caller.clinic).await?.settings;
    Ok(Json(view(&own, &global_settings(&mut rows).await?)))
}

/// `PUT /api/v1/clinics/{clinicId}/settings`
pub(crate) async fn write(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<SettingsRequest>,
) -> Result<Json<SettingsView>, Problem> {
    let own = request.check()?;
    let clinic_id = caller.clinic;
    let mut tx = app.db.of(clinic_id).begin().await?;
    Clinic::set(&mut tx, clinic_id, &own).await?;
    outbox::tell(&mut tx, clinic_id, &Event::ClinicChanged { clinic_id }, app.clock.now()).await?;
    let global = global_settings(&mut tx).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(view(&own, &global)))
}

/// `GET /api/v1/settings`
pub(crate) async fn show_global(State(app): State<App>, _: Caller) -> Result<Json<SettingsView>, Problem> {
    let global = global_settings(&mut app.db.read().await?).await?;
    Ok(Json(view(&Settings::new(), &global)))
}

/// `PUT /api/v1/settings`
pub(crate) async fn write_global(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<SettingsRequest>,
) -> Result<Json<SettingsView>, Problem> {
    let global = request.check()?;
    let mut tx = app.db.begin().await?;
    set_globally(&mut tx, &global).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(view(&Settings::new(), &global)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 5646, appendix A, and what it forbids.
    #[test]
    fn a_language_tag_has_its_shape() {
        for good in ["de", "zh-Hant", "sr-Latn-RS", "sl-rozaj-biske", "de-CH-1901"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in ["", "d", "419-DE", "a-DE-", "de_CH", "de-", "é", "abcdefghi"] {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }

    #[test]
    fn every_setting_that_can_be_set_is_shown() {
        let all = json!({
            "locale": "sw-KE", "currency": "KES", "contactEmail": "a@b.org", "contactPhone": "+254 1",
            "appointmentMinutes": 30, "recordRetentionYears": 7, "breakGlassHours": 8,
            "deidentifyOnReceipt": { "options": ["uids"], "dates": "modified", "burnedIn": "refused" },
            "storageQuotaBytes": 1_000_000, "holdRefused": true, "resultObjects": ["structured-report"]
        });
        let request: SettingsRequest = serde_json::from_value(all.clone()).unwrap();
        let settings = request.check().unwrap();
        assert_eq!(json!(settings), all);
        assert_eq!(settings.keys().collect::<Vec<_>>(), built_in().keys().collect::<Vec<_>>());
    }
}
