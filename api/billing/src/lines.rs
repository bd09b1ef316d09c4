//! The lines of an invoice: what each costs, and what all of them cost together.

use clinical::invalid::{Invalid, invalid, line};
use clinical::money::{Currency, Money};
use serde::Deserialize;
use storage::db::{FromRow, Result, Row};
use utoipa::ToSchema;

/// The largest sum that is billed at once, in minor units: all sums of sums have room in 63 bits.
pub(crate) const MOST_MINOR: i64 = 1_000_000_000_000;
/// An invoice has so many lines at most.
pub(crate) const MOST_LINES: usize = 100;
/// The longest text of a line.
pub(crate) const LINE_CHARACTERS: usize = 500;
/// So many of one thing at most.
const MOST_OF_ONE: i64 = 1_000_000;
/// A rate of tax in hundredths of a per cent: 100 per cent.
pub(crate) const WHOLE: i64 = 10_000;

/// A line as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewLine {
    /// What for.
    #[schema(min_length = 1, max_length = 500)]
    pub description: String,
    /// How many of it.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: i64,
    /// What one costs without tax, in minor units.
    #[schema(minimum = 1)]
    pub unit_amount: i64,
    /// What is taken off the line, in minor units.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub discount_amount: i64,
    /// The rate of tax in hundredths of a per cent; left out, the clinic's own.
    #[schema(minimum = 0, maximum = 10_000)]
    pub tax_rate: Option<i64>,
}

fn one() -> i64 {
    1
}

/// A line as it is billed, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub description: String,
    /// How many of it.
    pub quantity: i64,
    /// What one costs without tax; below zero where something is credited.
    pub unit_minor: i64,
    /// What is taken off.
    pub discount_minor: i64,
    /// In hundredths of a per cent.
    pub tax_rate: i64,
    /// The tax on what is left.
    pub tax_minor: i64,
    /// With tax.
    pub total_minor: i64,
}

impl FromRow for Line {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            description: row.get("description")?,
            quantity: row.get("quantity")?,
            unit_minor: row.get("unit_minor")?,
            discount_minor: row.get("discount_minor")?,
            tax_rate: row.get("tax_rate")?,
            tax_minor: row.get("tax_minor")?,
            total_minor: row.get("total_minor")?,
        })
    }
}

impl NewLine {
    /// The line as it is billed; `usual_rate` where it names none.
    pub(crate) fn check(&self, currency: Currency, usual_rate: i64) -> Result<Line, Invalid> {
        line("lines.description", &self.description, LINE_CHARACTERS)?;
        if !(1..=MOST_OF_ONE).contains(&self.quantity) {
            return Err(invalid("lines.quantity", "is 1 to 1,000,000"));
        }
        if self.unit_amount <= 0 {
            return Err(invalid("lines.unitAmount", "is above zero"));
        }
        let rate = self.tax_rate.unwrap_or(usual_rate);
        if !(0..=WHOLE).contains(&rate) {
            return Err(invalid("lines.taxRate", "is 0 to 10,000 hundredths of a per cent"));
        }
        let gross = self.quantity.checked_mul(self.unit_amount).filter(|gross| *gross <= MOST_MINOR);
        let gross = gross.ok_or(invalid("lines.unitAmount", "is too large"))?;
        if !(0..=gross).contains(&self.discount_amount) {
            return Err(invalid("lines.discountAmount", "is zero to what the line costs"));
        }
        Line::of(&self.description, self.quantity, self.unit_amount, self.discount_amount, rate, currency)
            .ok_or(invalid("lines.unitAmount", "is too large"))
    }
}

impl Line {
    /// A line with its tax, rounded to the minor unit; `None` where it is too large.
    pub(crate) fn of(
        description: &str,
        quantity: i64,
        unit_minor: i64,
        discount_minor: i64,
        tax_rate: i64,
        currency: Currency,
    ) -> Option<Self> {
        let net = quantity.checked_mul(unit_minor)?.checked_sub(discount_minor)?;
        let tax_minor = Money::new(net, currency).share(tax_rate, WHOLE).ok()?.minor;
        let total_minor = net.checked_add(tax_minor)?;
        if total_minor.abs() > 2 * MOST_MINOR {
            return None;
        }
        let description = description.to_owned();
        Some(Self { description, quantity, unit_minor, discount_minor, tax_rate, tax_minor, total_minor })
    }

    /// One of something whose sum with tax is `total`; `None` where it is too large.
    pub(crate) fn with_tax_in(
        description: &str,
        total: i64,
        tax_rate: i64,
        currency: Currency,
    ) -> Option<Self> {
        let net = Money::new(total, currency).share(WHOLE, WHOLE + tax_rate).ok()?.minor;
        let line = Self::of(description, 1, net, 0, tax_rate, currency)?;
        // Rounded twice, the sum may miss by one: the tax takes it.
        let tax_minor = line.tax_minor + (total - line.total_minor);
        Some(Self { tax_minor, total_minor: total, ..line })
    }

    /// Without tax.
    pub(crate) fn net_minor(&self) -> i64 {
        self.total_minor - self.tax_minor
    }
}

/// What all lines cost together, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Without tax.
    pub net: i64,
    /// What was taken off.
    pub discount: i64,
    /// The tax.
    pub tax: i64,
    /// With tax.
    pub total: i64,
}

/// What `lines` cost together; `None` where it is too large.
pub(crate) fn totals(lines: &[Line]) -> Option<Totals> {
    let sum = |of: fn(&Line) -> i64| lines.iter().try_fold(0_i64, |sum, line| sum.checked_add(of(line)));
    let totals = Totals {
        net: sum(Line::net_minor)?,
        discount: sum(|line| line.discount_minor)?,
        tax: sum(|line| line.tax_minor)?,
        total: sum(|line| line.total_minor)?,
    };
    (totals.total <= MOST_MINOR).then_some(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn new(quantity: i64, unit_amount: i64, discount_amount: i64, tax_rate: Option<i64>) -> NewLine {
        NewLine { description: "Visit".into(), quantity, unit_amount, discount_amount, tax_rate }
    }

    /// 3 × 33.33 less 9.99 are 90.00; 18 per cent of it are 16.20.
    #[test]
    fn a_line_is_quantity_times_price_less_discount_with_tax() {
        let line = new(3, 3_333, 999, Some(1_800)).check(usd(), 0).unwrap();
        assert_eq!((line.net_minor(), line.tax_minor, line.total_minor), (9_000, 1_620, 10_620));
        let totals = totals(&[line.clone(), line]).unwrap();
        assert_eq!((totals.net, totals.tax, totals.total, totals.discount), (18_000, 3_240, 21_240, 1_998));
    }

    /// 19 per cent of 0.05 are 0.0095, of 0.50 they are 0.095: half a cent and more is a cent.
    #[test]
    fn tax_is_rounded_to_the_minor_unit() {
        let tax = |unit| new(1, unit, 0, Some(1_900)).check(usd(), 0).unwrap().tax_minor;
        assert_eq!((tax(2), tax(5), tax(50)), (0, 1, 10));
    }

    #[test]
    fn sums_that_cannot_be_are_refused_by_name() {
        for (line, member) in [
            (new(1, 0, 0, None), "lines.unitAmount"),
            (new(1, -1, 0, None), "lines.unitAmount"),
            (new(0, 1, 0, None), "lines.quantity"),
            (new(i64::MAX, 1, 0, None), "lines.quantity"),
            (new(2, i64::MAX, 0, None), "lines.unitAmount"),
            (new(1, 5, 6, None), "lines.discountAmount"),
            (new(1, 5, -1, None), "lines.discountAmount"),
            (new(1, 5, 0, Some(10_001)), "lines.taxRate"),
            (NewLine { description: "a\r\nb".into(), ..new(1, 1, 0, None) }, "lines.description"),
        ] {
            assert_eq!(line.check(usd(), 0).unwrap_err().member, member);
        }
        let most = new(1, MOST_MINOR, 0, None).check(usd(), 0).unwrap();
        assert_eq!(totals(&[most.clone(), most]), None);
    }
}
