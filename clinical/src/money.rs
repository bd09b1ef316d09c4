//! Sums of money: whole minor units and a currency, never a float.

mod iso4217;

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use iso4217::TABLE;

/// A currency by its code of three letters.
///
/// Source: ISO 4217, list one of its maintenance agency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u8);

impl Currency {
    /// Every one that is in use.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(|row| Self(row as u8))
    }

    /// Its code, as `USD`.
    pub fn code(self) -> &'static str {
        TABLE[usize::from(self.0)].0
    }

    /// Its code in small letters, as some providers and seeds write it.
    pub fn lower(self) -> String {
        self.code().to_ascii_lowercase()
    }

    /// How many digits its minor unit takes: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        u32::from(TABLE[usize::from(self.0)].1)
    }

    /// How many minor units make one major unit: 100 for USD, 1 for JPY.
    pub fn minor_per_major(self) -> i64 {
        10_i64.pow(self.exponent())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    /// Takes `USD` and `usd`.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let code = text.to_ascii_uppercase();
        let row = TABLE.binary_search_by(|(known, _)| (*known).cmp(code.as_str()));
        row.map(|row| Self(row as u8)).map_err(|_| MoneyError::UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A sum in the minor unit of its currency: `{"minor": 15000, "currency": "USD"}` are 150 US dollars.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// How many minor units; below zero where something is taken back.
    pub minor: i64,
    /// Of which currency.
    pub currency: Currency,
}

impl Money {
    /// `minor` units of `currency`.
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing of `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Both together.
    ///
    /// # Errors
    ///
    /// [`MoneyError::OtherCurrency`], [`MoneyError::TooLarge`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::TooLarge)?;
        Ok(Self { minor, ..self })
    }

    /// What is left without `other`.
    ///
    /// # Errors
    ///
    /// [`MoneyError::OtherCurrency`], [`MoneyError::TooLarge`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::TooLarge)?;
        Ok(Self { minor, ..self })
    }

    /// `part / whole` of it, half a minor unit rounded away from zero.
    ///
    /// # Errors
    ///
    /// [`MoneyError::TooLarge`]: the result has no room, or `whole` is not above zero.
    pub fn share(self, part: i64, whole: i64) -> Result<Self, MoneyError> {
        if whole <= 0 {
            return Err(MoneyError::TooLarge);
        }
        let twice = i128::from(self.minor) * i128::from(part) * 2;
        let whole = i128::from(whole);
        let rounded = (twice.abs() + whole) / (2 * whole) * twice.signum();
        let minor = i64::try_from(rounded).map_err(|_| MoneyError::TooLarge)?;
        Ok(Self { minor, ..self })
    }

    /// The sum in major units with the digits that its currency has: `150.00`, `1500`, `1.500`.
    pub fn decimal(self) -> Decimal {
        let digits = self.currency.exponent() as usize;
        let sign = if self.minor < 0 { "-" } else { "" };
        let size = self.minor.unsigned_abs();
        let unit = self.currency.minor_per_major().unsigned_abs();
        match digits {
            0 => Decimal(format!("{sign}{size}")),
            _ => Decimal(format!("{sign}{}.{:0digits$}", size / unit, size % unit)),
        }
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::OtherCurrency) }
    }
}

impl fmt::Display for Money {
    /// `150.00 USD`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A decimal number as it was written, digit by digit; in JSON a number, so that 150.00 stays 150.00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// The sum of `currency` that it is in major units.
    ///
    /// # Errors
    ///
    /// [`MoneyError::TooFine`]: more digits than the currency has minor units (`150.005` dollars, `1.5` yen);
    /// [`MoneyError::TooLarge`]; [`MoneyError::NotANumber`]: `1e3` and the like.
    pub fn of(&self, currency: Currency) -> Result<Money, MoneyError> {
        let (is_below_zero, size) = match self.0.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, self.0.as_str()),
        };
        let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
        let digits = currency.exponent() as usize;
        let is_of_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_of_digits(whole) || !is_of_digits(fraction) || size.ends_with('.') {
            return Err(MoneyError::NotANumber);
        }
        if fraction.trim_end_matches('0').len() > digits {
            return Err(MoneyError::TooFine);
        }
        let kept = &fraction[..fraction.len().min(digits)];
        let minor: i64 = format!("{whole}{kept:0<digits$}").parse().map_err(|_| MoneyError::TooLarge)?;
        Ok(Money::new(if is_below_zero { -minor } else { minor }, currency))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let size = text.strip_prefix('-').unwrap_or(text);
        let is_decimal = size.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
            && size.bytes().filter(|byte| *byte == b'.').count() <= 1
            && size.starts_with(|c: char| c.is_ascii_digit())
            && size.ends_with(|c: char| c.is_ascii_digit());
        if is_decimal && size.len() <= 32 { Ok(Self(text.to_owned())) } else { Err(MoneyError::NotANumber) }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    /// From a number of JSON as it is written there, or the same digits as a string.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        digits.parse().map_err(D::Error::custom)
    }
}

/// Why something is no sum of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No currency has this code.
    #[error("is no currency of ISO 4217")]
    UnknownCurrency,
    /// Two currencies in one sum.
    #[error("is of another currency")]
    OtherCurrency,
    /// More than 63 bits of minor units.
    #[error("is too large")]
    TooLarge,
    /// A part of a minor unit.
    #[error("has more digits than the currency")]
    TooFine,
    /// Not digits with a point.
    #[error("is no decimal number")]
    NotANumber,
}

#[cfg(feature = "schema")]
mod schema {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

    impl utoipa::PartialSchema for super::Currency {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z]{3}$")).into()
        }
    }

    impl utoipa::ToSchema for super::Currency {}

    impl utoipa::PartialSchema for super::Decimal {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new().schema_type(Type::Number).into()
        }
    }

    impl utoipa::ToSchema for super::Decimal {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    fn read(text: &str, code: &str) -> Result<i64, MoneyError> {
        text.parse::<Decimal>()?.of(currency(code)).map(|sum| sum.minor)
    }

    /// ISO 4217: the dollar has cents, the yen has none, the Kuwaiti dinar has 1,000 fils, Chile's UF four digits.
    #[test]
    fn each_currency_has_the_digits_that_the_standard_gives_it() {
        for (code, digits) in [("USD", 2), ("JPY", 0), ("KWD", 3), ("INR", 2), ("CLF", 4), ("ISK", 0)] {
            assert_eq!(currency(code).exponent(), digits, "{code}");
        }
        assert_eq!(currency("usd"), currency("USD"));
        assert_eq!("XYZ".parse::<Currency>(), Err(MoneyError::UnknownCurrency));
        assert_eq!("".parse::<Currency>(), Err(MoneyError::UnknownCurrency));
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0), "the table is searched by halves");
    }

    #[test]
    fn a_sum_is_written_with_the_digits_of_its_currency() {
        let text = |minor, code| Money::new(minor, currency(code)).to_string();
        assert_eq!(text(15_000, "USD"), "150.00 USD");
        assert_eq!(text(-5, "USD"), "-0.05 USD");
        assert_eq!(text(1_500, "JPY"), "1500 JPY");
        assert_eq!(text(1_500, "KWD"), "1.500 KWD");
        assert_eq!(text(i64::MIN, "USD"), "-92233720368547758.08 USD");
    }

    #[test]
    fn a_number_of_json_keeps_its_digits() {
        let sum = Money::new(15_000, currency("USD"));
        assert_eq!(serde_json::to_string(&sum.decimal()).unwrap(), "150.00");
        let read: Decimal = serde_json::from_str("0.10").unwrap();
        assert_eq!(read.of(currency("USD")).unwrap().minor, 10);
        let read: Decimal = serde_json::from_str("\"0.10\"").unwrap();
        assert_eq!(read.as_str(), "0.10");
        for odd in ["1e3", "\"\"", "\"1.\"", "null", "[1]", "\"0x1\"", "true"] {
            assert!(serde_json::from_str::<Decimal>(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_part_of_a_minor_unit_is_refused() {
        assert_eq!(read("150.005", "USD"), Err(MoneyError::TooFine));
        assert_eq!(read("150.500", "USD"), Ok(15_050));
        assert_eq!(read("1.5", "JPY"), Err(MoneyError::TooFine));
        assert_eq!(read("1.0", "JPY"), Ok(1));
        assert_eq!(read("1.5", "KWD"), Ok(1_500));
        assert_eq!(read("-1.5", "USD"), Ok(-150));
        assert_eq!(read("92233720368547758.08", "USD"), Err(MoneyError::TooLarge));
    }

    #[test]
    fn sums_of_two_currencies_are_never_joined() {
        let (dollar, yen) = (Money::new(1, currency("USD")), Money::new(1, currency("JPY")));
        assert_eq!(dollar.plus(yen), Err(MoneyError::OtherCurrency));
        assert_eq!(Money::new(i64::MAX, dollar.currency).plus(dollar), Err(MoneyError::TooLarge));
        assert_eq!(Money::new(i64::MIN, dollar.currency).minus(dollar), Err(MoneyError::TooLarge));
    }

    /// 10 of 31 days of 100.00 are 32.258…
    #[test]
    fn a_share_is_rounded_to_the_minor_unit() {
        let month = Money::new(10_000, currency("USD"));
        assert_eq!(month.share(10, 31).unwrap().minor, 3_226);
        assert_eq!(Money::new(-10_000, month.currency).share(10, 31).unwrap().minor, -3_226);
        assert_eq!(Money::new(1, month.currency).share(1, 2).unwrap().minor, 1);
        assert_eq!(month.share(1, 0), Err(MoneyError::TooLarge));
        assert_eq!(Money::new(i64::MAX, month.currency).share(2, 1), Err(MoneyError::TooLarge));
    }

    proptest! {
        #[test]
        fn a_sum_reads_back_from_its_digits(minor in -i64::MAX..=i64::MAX, row in 0..TABLE.len()) {
            let sum = Money::new(minor, Currency(row as u8));
            prop_assert_eq!(sum.decimal().of(sum.currency), Ok(sum));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<Decimal>().map(|it| it.of(Currency(0)));
        }
    }
}
