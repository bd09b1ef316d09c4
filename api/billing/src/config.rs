//! `/api/v1/billing/config`: how a clinic bills, and through which accounts.

use std::collections::BTreeMap;

use axum::extract::State;
use clinical::invalid::invalid;
use clinical::money::Currency;
use gate::{Caller, Json, Problem};
use serde::{Deserialize, Serialize};
use storage::outbox;
use storage::records::credential::{Credential, CredentialError, NewCredential, NewSecret};
use storage::secret::Plain;
use utoipa::ToSchema;

use crate::accounts::{PURPOSE, Parts};
use crate::input::refused;
use crate::provider::ProviderName;
use crate::seed::clinic_changed;
use crate::settings::{BillingSettings, usual_currency};
use crate::state::BillingState;

/// An account has so many parts at most, each of so many bytes.
const PARTS: usize = 16;
const PART_BYTES: usize = 8_192;

/// How a clinic bills.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConfigRequest {
    /// Left out, they stay.
    settings: Option<BillingSettings>,
    /// The clinic's own accounts, in place of those that it had; an empty list: those of the service serve it. Left out,
    /// they stay.
    #[schema(max_items = 4)]
    providers: Option<Vec<AccountRequest>>,
}

/// An account at a provider.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AccountRequest {
    #[schema(value_type = String)]
    provider: ProviderName,
    /// `secretKey` and `webhookSecret` of Stripe; `clientId`, `clientSecret` and `webhookId` of PayPal; `keyId`,
    /// `keySecret` and `webhookSecret` of Razorpay; `merchantId`, `saltKey` and `saltIndex` of PhonePe. Left out, they
    /// stay as they were stored.
    credentials: Option<BTreeMap<String, String>>,
    /// What the payer's browser may know, as Stripe's `pk_…`.
    #[schema(max_length = 255)]
    publishable_key: Option<String>,
}

/// How a clinic bills, without what is secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigView {
    settings: BillingSettings,
    /// Of its prices; the clinic's settings say it.
    currency: Currency,
    /// Whether its accounts are its own.
    has_own_accounts: bool,
    providers: Vec<AccountView>,
}

/// An account, without what is secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountView {
    provider: &'static str,
    publishable_key: Option<String>,
    /// Where the provider is to send its webhooks.
    webhook_url: String,
}

/// `GET /api/v1/billing/config`
pub(crate) async fn show(
    State(state): State<BillingState>,
    caller: Caller,
) -> Result<Json<ConfigView>, Problem> {
    let clinic = caller.clinic;
    let (names, is_own) = state.cashier.accounts.names(clinic).await?;
    let mut rows = state.app.db.read().await?;
    let stored = Credential::serving(&mut rows, clinic, PURPOSE).await?;
    let providers = names.into_iter().map(|name| {
        let of_it = stored.iter().find(|it| it.provider == name.as_str());
        let key = of_it.and_then(|it| it.public.get("publishableKey")?.as_str().map(str::to_owned));
        let webhook_url = state.cashier.webhook_url(clinic, name.as_str());
        let own_address = format!("/{clinic}");
        let webhook_url =
            if is_own { webhook_url } else { webhook_url.trim_end_matches(&own_address).to_owned() };
        AccountView { provider: name.as_str(), publishable_key: key, webhook_url }
    });
    Ok(Json(ConfigView {
        settings: BillingSettings::of(&mut rows, clinic).await?,
        currency: usual_currency(&mut rows, clinic).await?,
        has_own_accounts: is_own,
        providers: providers.collect(),
    }))
}

/// `PUT /api/v1/billing/config`
pub(crate) async fn write(
    State(state): State<BillingState>,
    caller: Caller,
    Json(request): Json<ConfigRequest>,
) -> Result<Json<ConfigView>, Problem> {
    let (clinic, now) = (caller.clinic, state.app.clock.now());
    if let Some(settings) = &request.settings {
        let faults = settings.faults();
        if !faults.is_empty() {
            return Err(Problem::invalid("invalid-settings", faults));
        }
    }
    let accounts = request.providers.map(|all| new_credentials(&state, all)).transpose()?;
    let mut tx = state.app.db.of(clinic).begin().await?;
    if let Some(settings) = &request.settings {
        settings.write(&mut tx, clinic, now).await?;
    }
    if let Some(accounts) = accounts {
        let keyring = state.cashier.accounts.keyring();
        let written = Credential::replace(&mut tx, keyring, clinic, PURPOSE, accounts, now).await;
        let written = written.map_err(|error| match error {
            CredentialError::Database(error) => error.into(),
            CredentialError::Secret(error) => Problem::internal("secret-failed", &error),
        })?;
        if written.iter().any(|it| it.sealed.is_none()) {
            let rule = "are there, for nothing was stored before";
            return Err(refused("invalid-account", invalid("providers.credentials", rule)));
        }
    }
    outbox::tell(&mut tx, clinic, &clinic_changed(&caller), now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    show(State(state), caller).await
}

fn new_credentials(
    state: &BillingState,
    accounts: Vec<AccountRequest>,
) -> Result<Vec<NewCredential>, Problem> {
    let refuse = |rule| Err(refused("invalid-account", invalid("providers", rule)));
    let mut written = Vec::with_capacity(accounts.len());
    for (place, account) in accounts.iter().enumerate() {
        if accounts[..place].iter().any(|before| before.provider == account.provider) {
            return refuse("names each provider once");
        }
        let is_odd = |text: &String| text.is_empty() || text.len() > 255 || text.contains(char::is_control);
        if account.publishable_key.as_ref().is_some_and(is_odd) {
            return refuse("has a publishableKey of 1 to 255 characters");
        }
        let secret = match &account.credentials {
            None => NewSecret::Keep,
            Some(parts) => {
                let is_long = |text: &String| text.len() > PART_BYTES || text.contains(char::is_control);
                if parts.len() > PARTS || parts.values().any(is_long) {
                    return refuse("has at most 16 parts of at most 8,192 bytes without control characters");
                }
                let parts: Parts = parts.clone();
                if !state.cashier.accounts.can_be_made(account.provider, &parts) {
                    return refuse("has every part that the provider needs");
                }
                NewSecret::Set(Plain::new(serde_json::json!(parts).to_string()))
            }
        };
        written.push(NewCredential {
            provider: account.provider.as_str().to_owned(),
            public: serde_json::json!({ "publishableKey": account.publishable_key }),
            secret,
        });
    }
    Ok(written)
}
