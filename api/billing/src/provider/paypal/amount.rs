//! PayPal's amounts: decimal text, in two dozen currencies, three of them without decimals.
//!
//! Source: <https://developer.paypal.com/reference/currency-codes/>.

use clinical::money::{Currency, Decimal, Money};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::provider::ProviderError;
use crate::provider::wire::Act;

const TAKEN: [&str; 24] = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "JPY", "MXN", "MYR",
    "NOK", "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD",
];
/// What PayPal takes without decimals.
const WHOLE: [&str; 3] = ["HUF", "JPY", "TWD"];

/// An amount as PayPal writes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Amount {
    #[serde(alias = "currency")]
    pub currency_code: String,
    pub value: String,
}

impl Amount {
    /// What PayPal writes, as we count.
    pub fn money(&self) -> Result<Money, ProviderError> {
        let unreadable = || Act::Money.unheard("an amount does not read");
        let currency: Currency = self.currency_code.parse().map_err(|_| unreadable())?;
        let value: Decimal = self.value.parse().map_err(|_| unreadable())?;
        value.of(currency).map_err(|_| unreadable())
    }
}

/// `{"currency_code": "USD", "value": "150.00"}`
///
/// # Errors
///
/// [`ProviderError::Invalid`]: not above zero, too fine for PayPal, or a currency that it does not take.
pub(super) fn to_paypal(sum: Money) -> Result<Value, ProviderError> {
    let code = sum.currency.code();
    if !TAKEN.contains(&code) {
        return Err(ProviderError::invalid("currency"));
    }
    let unit = sum.currency.minor_per_major();
    let is_whole = WHOLE.contains(&code);
    if sum.minor <= 0 || is_whole && sum.minor % unit != 0 {
        return Err(ProviderError::invalid("amount"));
    }
    let value = if is_whole { (sum.minor / unit).to_string() } else { sum.decimal().to_string() };
    Ok(json!({ "currency_code": code, "value": value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(minor: i64, code: &str) -> Option<String> {
        let written = to_paypal(Money::new(minor, code.parse().unwrap())).ok()?;
        Some(written["value"].as_str()?.to_owned())
    }

    #[test]
    fn an_amount_is_written_as_paypal_reads_it() {
        assert_eq!(written(15_000, "USD").as_deref(), Some("150.00"));
        assert_eq!(written(1_500, "JPY").as_deref(), Some("1500"));
        assert_eq!(written(150_000, "HUF").as_deref(), Some("1500"));
        assert_eq!(written(150_050, "HUF"), None);
        assert_eq!(written(15_000, "INR"), None);
        assert_eq!(written(0, "USD"), None);
    }

    #[test]
    fn every_amount_that_goes_out_comes_back_the_same() {
        for code in TAKEN {
            let sum = Money::new(12_300, code.parse().unwrap());
            let amount: Amount = serde_json::from_value(to_paypal(sum).unwrap()).unwrap();
            assert_eq!(amount.money().ok(), Some(sum));
        }
        let odd = Amount { currency_code: "USD".to_owned(), value: "1e3".to_owned() };
        assert!(odd.money().is_err());
    }
}
