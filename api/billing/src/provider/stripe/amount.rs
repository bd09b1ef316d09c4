//! Stripe's smallest units, which are not always those of ISO 4217.
//!
//! Source: <https://docs.stripe.com/currencies>, zero-decimal and three-decimal currencies and the special cases.

use clinical::money::{Currency, Money};

use crate::provider::ProviderError;
use crate::provider::wire::Act;

/// What Stripe counts in whole units.
const WHOLE: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// What has no smaller unit and is counted in hundredths all the same.
const AS_HUNDREDTHS: [&str; 2] = ["ISK", "UGX"];
/// What is counted in thousandths, of which the last digit must be 0.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// Tens between our minor unit and Stripe's: 2 where Stripe's is a hundredth of ours, -2 where it is a hundred of them.
///
/// `None`: Stripe does not take the currency.
fn shift(currency: Currency) -> Option<i32> {
    let code = currency.code();
    let stripes = match code {
        _ if WHOLE.contains(&code) => 0,
        _ if AS_HUNDREDTHS.contains(&code) => 2,
        _ if THOUSANDTHS.contains(&code) => 3,
        _ if currency.exponent() == 2 => 2,
        _ => return None,
    };
    Some(stripes - currency.exponent() as i32)
}

/// The amount and currency as Stripe counts them.
///
/// # Errors
///
/// [`ProviderError::Invalid`]: not above zero, too fine for Stripe, or a currency that it does not take.
pub(super) fn to_stripe(sum: Money) -> Result<(i64, stripe_types::Currency), ProviderError> {
    let shift = shift(sum.currency).ok_or_else(|| ProviderError::invalid("currency"))?;
    let step = 10_i64.pow(shift.unsigned_abs());
    let is_too_fine = (shift < 0 && sum.minor % step != 0)
        || (THOUSANDTHS.contains(&sum.currency.code()) && sum.minor % 10 != 0);
    if sum.minor <= 0 || is_too_fine {
        return Err(ProviderError::invalid("amount"));
    }
    let minor = if shift < 0 { Some(sum.minor / step) } else { sum.minor.checked_mul(step) };
    let minor = minor.ok_or_else(|| ProviderError::invalid("amount"))?;
    let currency = sum.currency.lower().parse().map_err(|_| ProviderError::invalid("currency"))?;
    Ok((minor, currency))
}

/// What Stripe counts, as we do.
///
/// # Errors
///
/// [`ProviderError::Unreachable`]: it does not read; the payment is as it was.
pub(super) fn of_stripe(amount: i64, currency: &str) -> Result<Money, ProviderError> {
    let unreadable = || Act::Money.unheard("an amount does not read");
    let currency: Currency = currency.parse().map_err(|_| unreadable())?;
    let shift = shift(currency).ok_or_else(unreadable)?;
    let step = 10_i64.pow(shift.unsigned_abs());
    if shift > 0 && amount % step != 0 {
        return Err(unreadable());
    }
    let minor = if shift > 0 { Some(amount / step) } else { amount.checked_mul(step) };
    Ok(Money::new(minor.ok_or_else(unreadable)?, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, code.parse().unwrap())
    }

    /// Stripe's page on currencies: 10 USD are 1000, 500 JPY are 500, 5 ISK are 500, 5.124 KWD must be rounded.
    #[test]
    fn an_amount_is_counted_as_stripe_does() {
        let count = |minor, code| to_stripe(money(minor, code)).map(|(amount, _)| amount).ok();
        assert_eq!(count(1_000, "USD"), Some(1_000));
        assert_eq!(count(500, "JPY"), Some(500));
        assert_eq!(count(5, "ISK"), Some(500));
        assert_eq!(count(5_120, "KWD"), Some(5_120));
        assert_eq!(count(5_124, "KWD"), None);
        assert_eq!(count(500, "MGA"), Some(5));
        assert_eq!(count(550, "MGA"), None);
        assert_eq!(count(10_000, "CLF"), None);
        assert_eq!(count(0, "USD"), None);
        assert_eq!(count(-1, "USD"), None);
        assert_eq!(count(i64::MAX, "ISK"), None);
    }

    #[test]
    fn every_amount_that_goes_out_comes_back_the_same() {
        for currency in Currency::all() {
            let sum = Money::new(12_300, currency);
            if let Ok((amount, _)) = to_stripe(sum) {
                assert_eq!(of_stripe(amount, &currency.lower()).ok(), Some(sum), "{currency}");
            }
        }
        assert!(of_stripe(501, "isk").is_err());
        assert!(of_stripe(1, "xyz").is_err());
    }
}
