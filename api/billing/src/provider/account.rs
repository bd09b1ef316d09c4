//! Whose door is knocked at, with what, and under which key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::ProviderError;

/// Who moves the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    /// Stripe.
    Stripe,
    /// PayPal.
    PayPal,
    /// Razorpay.
    Razorpay,
    /// PhonePe.
    PhonePe,
}

impl ProviderName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stripe, Self::PayPal, Self::Razorpay, Self::PhonePe];

    /// As in paths, rows and settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::PayPal => "paypal",
            Self::Razorpay => "razorpay",
            Self::PhonePe => "phonepe",
        }
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No provider has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of stripe, paypal, razorpay, phonepe")]
pub struct UnknownProvider;

impl FromStr for ProviderName {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or(UnknownProvider)
    }
}

/// What opens a provider's door; it is shown nowhere and wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The same key with the same request is one act at the provider, however often it is sent.
///
/// 10 to 64 letters, digits, `-` and `_`: what every provider takes (Razorpay asks for 10 at least).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of one step of one of our payments: the same step has the same key after a crash too.
    pub fn of(id: Uuid, step: &'static str) -> Self {
        Self(format!("{id}-{step}"))
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = ProviderError;

    fn from_str(text: &str) -> Result<Self, ProviderError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (10..=64).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProviderError::invalid("idempotency-key"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_that_every_provider_takes() {
        assert!("short".parse::<IdempotencyKey>().is_err());
        assert!("with space in it".parse::<IdempotencyKey>().is_err());
        let longest = IdempotencyKey::of(Uuid::max(), "create-again-after-decline");
        assert!(longest.as_str().parse::<IdempotencyKey>().is_ok());
    }

    #[test]
    fn a_provider_reads_back_from_its_name() {
        for name in ProviderName::ALL {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
        assert_eq!("square".parse::<ProviderName>(), Err(UnknownProvider));
    }
}
