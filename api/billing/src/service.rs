//! The service's own accounts at providers, which serve every clinic that has none; and how any account is made.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::accounts::{Account, Maker, Parts};
use crate::provider::paypal::{PayPal, PayPalSettings};
use crate::provider::phonepe::{PhonePe, PhonePeSettings};
use crate::provider::razorpay::{Razorpay, RazorpaySettings};
use crate::provider::stripe::{Stripe, StripeSettings};
use crate::provider::{ProviderName, Secret, Wire};

/// The service's account at Stripe; an empty text is not set. In the environment `STRIPE_SECRET_KEY` and so on.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StripeAccount {
    /// `sk_…`
    pub secret_key: String,
    /// `whsec_…`
    pub webhook_secret: String,
    /// In place of Stripe's own address, for every account there.
    pub base_url: String,
}

/// The service's account at PayPal.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PayPalAccount {
    /// The application's name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The identifier of its webhook.
    pub webhook_id: String,
    /// In place of PayPal's own address, for every account there.
    pub base_url: String,
}

/// The service's account at Razorpay.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RazorpayAccount {
    /// `rzp_…`
    pub key_id: String,
    /// What belongs to it.
    pub key_secret: String,
    /// What webhooks are signed with.
    pub webhook_secret: String,
    /// In place of Razorpay's own address, for every account there.
    pub base_url: String,
}

/// The service's account at PhonePe.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhonePeAccount {
    /// The merchant.
    pub merchant_id: String,
    /// What signs.
    pub salt_key: String,
    /// Which salt it is; empty: the first.
    pub salt_index: String,
    /// In place of PhonePe's own address, for every account there.
    pub base_url: String,
}

/// What the settings say of all providers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceSettings {
    /// Stripe.
    pub stripe: StripeAccount,
    /// PayPal.
    pub paypal: PayPalAccount,
    /// Razorpay.
    pub razorpay: RazorpayAccount,
    /// PhonePe.
    pub phonepe: PhonePeAccount,
}

/// What they hold is shown nowhere.
macro_rules! not_shown {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

not_shown! { StripeAccount PayPalAccount RazorpayAccount PhonePeAccount }

impl ServiceSettings {
    /// The parts of the service's account at `name`, as a clinic would name those of its own.
    fn parts(&self, name: ProviderName) -> Parts {
        let named: &[(&str, &String)] = match name {
            ProviderName::Stripe => {
                &[("secretKey", &self.stripe.secret_key), ("webhookSecret", &self.stripe.webhook_secret)]
            }
            ProviderName::PayPal => &[
                ("clientId", &self.paypal.client_id),
                ("clientSecret", &self.paypal.client_secret),
                ("webhookId", &self.paypal.webhook_id),
            ],
            ProviderName::Razorpay => &[
                ("keyId", &self.razorpay.key_id),
                ("keySecret", &self.razorpay.key_secret),
                ("webhookSecret", &self.razorpay.webhook_secret),
            ],
            ProviderName::PhonePe => &[
                ("merchantId", &self.phonepe.merchant_id),
                ("saltKey", &self.phonepe.salt_key),
                ("saltIndex", &self.phonepe.salt_index),
            ],
        };
        let set = named.iter().filter(|(_, text)| !text.is_empty());
        set.map(|(name, text)| ((*name).to_owned(), (*text).clone())).collect()
    }

    /// What makes accounts over `wire`, at the addresses of these settings.
    pub fn maker(&self, wire: Wire) -> Maker {
        let settings = self.clone();
        Arc::new(move |name, parts| settings.make(name, parts, &wire))
    }

    /// The service's own accounts.
    pub fn accounts(&self, wire: &Wire) -> Vec<Account> {
        ProviderName::ALL.into_iter().filter_map(|name| self.make(name, &self.parts(name), wire)).collect()
    }

    fn make(&self, name: ProviderName, parts: &Parts, wire: &Wire) -> Option<Account> {
        let part = |name: &str| parts.get(name).filter(|text| !text.is_empty()).cloned();
        let secrets = |name: &str| part(name).map(Secret::new).into_iter().collect::<Vec<_>>();
        let at = |own: &String, usual: &str| if own.is_empty() { usual.to_owned() } else { own.clone() };
        Some(match name {
            ProviderName::Stripe => {
                let settings = StripeSettings {
                    secret_key: Secret::new(part("secretKey")?),
                    webhook_secrets: secrets("webhookSecret"),
                    base_url: at(&self.stripe.base_url, Stripe::BASE_URL),
                };
                Arc::new(Stripe::new(settings, wire).ok()?)
            }
            ProviderName::PayPal => {
                let settings = PayPalSettings {
                    client_id: part("clientId")?,
                    client_secret: Secret::new(part("clientSecret")?),
                    webhook_id: part("webhookId"),
                    base_url: at(&self.paypal.base_url, PayPal::BASE_URL),
                };
                Arc::new(PayPal::new(settings, wire).ok()?)
            }
            ProviderName::Razorpay => {
                let settings = RazorpaySettings {
                    key_id: part("keyId")?,
                    key_secret: Secret::new(part("keySecret")?),
                    webhook_secrets: secrets("webhookSecret"),
                    base_url: at(&self.razorpay.base_url, Razorpay::BASE_URL),
                };
                Arc::new(Razorpay::new(settings, wire).ok()?)
            }
            ProviderName::PhonePe => {
                let settings = PhonePeSettings {
                    merchant_id: part("merchantId")?,
                    salt_key: Secret::new(part("saltKey")?),
                    salt_index: part("saltIndex").unwrap_or_else(|| "1".to_owned()),
                    base_url: at(&self.phonepe.base_url, PhonePe::BASE_URL),
                };
                Arc::new(PhonePe::new(settings, wire).ok()?)
            }
        })
    }
}
