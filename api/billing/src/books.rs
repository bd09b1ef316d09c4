//! What the books must say of an invoice and its payments: a pure sum, whatever came in which order.

use std::collections::BTreeMap;
use std::fmt;

use crate::provider::ProviderName;

/// An account of the ledger; debit is above zero, credit below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What customers owe for issued invoices.
    Receivable,
    /// What was earned, without tax.
    Revenue,
    /// What is owed to the tax office.
    Tax,
    /// What was paid and belongs to no invoice, or to more than it asked for: owed to customers.
    Credit,
    /// What was given back of what had been earned.
    Returns,
    /// What the payers' banks hold while a dispute is open.
    Disputed,
    /// What was lost in disputes.
    DisputeLoss,
    /// What was given up.
    BadDebt,
    /// What a provider holds for the clinic.
    Clearing(ProviderName),
}

impl Account {
    /// Its code in the ledger.
    pub fn code(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receivable => f.write_str("receivable"),
            Self::Revenue => f.write_str("revenue"),
            Self::Tax => f.write_str("tax"),
            Self::Credit => f.write_str("credit"),
            Self::Returns => f.write_str("returns"),
            Self::Disputed => f.write_str("disputed"),
            Self::DisputeLoss => f.write_str("dispute_loss"),
            Self::BadDebt => f.write_str("bad_debt"),
            Self::Clearing(provider) => write!(f, "clearing:{provider}"),
        }
    }
}

/// An issued invoice as the books see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issued {
    /// What it asks for without tax, in minor units.
    pub net: i64,
    /// The tax on it.
    pub tax: i64,
    /// Whether it still counts.
    pub standing: Standing,
}

/// Whether an issued invoice still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is to be paid, or was.
    Live,
    /// It should not have been issued.
    Void,
    /// Nobody will pay the rest.
    GivenUp,
}

/// A payment as the books see it, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// Who holds the money.
    pub provider: ProviderName,
    /// What has come in.
    pub captured: i64,
    /// What was given back of it.
    pub refunded: i64,
    /// What a bank holds while a dispute is open.
    pub disputed: i64,
    /// What was lost in disputes.
    pub lost: i64,
}

/// The balance of every account that an invoice and its payments touch; they sum to zero.
///
/// Without an invoice, all that has come in is owed to the customer.
pub fn balances(issued: Option<Issued>, payments: &[Paid]) -> BTreeMap<Account, i64> {
    let asked = issued.filter(|it| it.standing != Standing::Void);
    let total = asked.map_or(0, |it| it.net + it.tax);
    let sum = |of: fn(&Paid) -> i64| payments.iter().map(of).sum::<i64>();
    let (captured, refunded) = (sum(|it| it.captured), sum(|it| it.refunded));
    let settled = captured.min(total);
    // What was paid beyond the invoice goes back first.
    let beyond = captured - settled;
    let of_beyond = refunded.min(beyond);
    let mut balances = BTreeMap::new();
    let mut add = |account, amount: i64| *balances.entry(account).or_insert(0) += amount;
    if let Some(asked) = asked {
        let rest = if asked.standing == Standing::GivenUp { Account::BadDebt } else { Account::Receivable };
        add(rest, total - settled);
        add(Account::Revenue, -asked.net);
        add(Account::Tax, -asked.tax);
    }
    add(Account::Credit, of_beyond - beyond);
    add(Account::Returns, refunded - of_beyond);
    for paid in payments {
        add(Account::Disputed, paid.disputed);
        add(Account::DisputeLoss, paid.lost);
        let held = paid.captured - paid.refunded - paid.disputed - paid.lost;
        add(Account::Clearing(paid.provider), held);
    }
    balances.retain(|_, amount| *amount != 0);
    balances
}

/// What must be booked so that `actual` becomes `wanted`; nothing where they agree.
pub fn difference(wanted: &BTreeMap<String, i64>, actual: &BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let codes: std::collections::BTreeSet<&String> = wanted.keys().chain(actual.keys()).collect();
    let of = |sums: &BTreeMap<String, i64>, code: &String| sums.get(code).copied().unwrap_or(0);
    let changes = codes.into_iter().map(|code| (code.clone(), of(wanted, code) - of(actual, code)));
    changes.filter(|(_, amount)| *amount != 0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn live(net: i64, tax: i64) -> Option<Issued> {
        Some(Issued { net, tax, standing: Standing::Live })
    }

    fn paid(captured: i64, refunded: i64) -> Paid {
        Paid { provider: ProviderName::Stripe, captured, refunded, disputed: 0, lost: 0 }
    }

    #[test]
    fn an_issued_invoice_is_owed_and_earned() {
        let expected = [(Account::Receivable, 11_900), (Account::Revenue, -10_000), (Account::Tax, -1_900)];
        assert_eq!(balances(live(10_000, 1_900), &[]), expected.into());
    }

    #[test]
    fn what_is_paid_lies_with_the_provider_and_is_owed_no_more() {
        let found = balances(live(10_000, 0), &[paid(10_000, 0)]);
        assert_eq!(
            found,
            [(Account::Revenue, -10_000), (Account::Clearing(ProviderName::Stripe), 10_000)].into()
        );
    }

    #[test]
    fn what_is_paid_twice_is_owed_to_the_customer_and_goes_back_first() {
        let twice = balances(live(100, 0), &[paid(100, 0), paid(100, 0)]);
        assert_eq!(twice[&Account::Credit], -100);
        let back = balances(live(100, 0), &[paid(100, 0), paid(100, 130)]);
        assert_eq!((back.get(&Account::Credit), back[&Account::Returns]), (None, 30));
    }

    #[test]
    fn what_comes_in_for_a_void_invoice_belongs_to_the_customer() {
        let void = Some(Issued { net: 100, tax: 19, standing: Standing::Void });
        assert_eq!(balances(void, &[]), BTreeMap::new());
        assert_eq!(balances(void, &[paid(119, 0)])[&Account::Credit], -119);
    }

    #[test]
    fn what_is_given_up_is_a_loss_and_owed_no_more() {
        let given_up = Some(Issued { net: 100, tax: 0, standing: Standing::GivenUp });
        let found = balances(given_up, &[paid(40, 0)]);
        assert_eq!((found[&Account::BadDebt], found.get(&Account::Receivable)), (60, None));
    }

    fn a_payment() -> impl Strategy<Value = Paid> {
        (0..1_000_000_i64, 0..1_000_000_i64, 0..1_000_000_i64, any::<bool>()).prop_map(
            |(a, b, c, is_lost)| {
                let refunded = b.min(a);
                let taken = c.min(a - refunded);
                let (disputed, lost) = if is_lost { (0, taken) } else { (taken, 0) };
                Paid { provider: ProviderName::Razorpay, captured: a, refunded, disputed, lost }
            },
        )
    }

    proptest! {
        #[test]
        fn every_state_sums_to_zero(
            net in 0..1_000_000_i64,
            tax in 0..1_000_000_i64,
            standing in prop_oneof![Just(Standing::Live), Just(Standing::Void), Just(Standing::GivenUp)],
            payments in prop::collection::vec(a_payment(), 0..6),
        ) {
            let found = balances(Some(Issued { net, tax, standing }), &payments);
            prop_assert_eq!(found.values().sum::<i64>(), 0);
            let alone = balances(None, &payments);
            prop_assert_eq!(alone.values().sum::<i64>(), 0);
        }
    }
}
