//! The ledger: double entry, only ever added to. A balance is a sum of entries, a correction a transaction more.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InvoiceId, PaymentId};
use clinical::money::Currency;
use storage::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use uuid::Uuid;

use crate::books::difference;

/// What a transaction is booked for: an invoice with all its payments, or a payment without an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An invoice.
    Invoice(InvoiceId),
    /// A payment that belongs to none.
    Payment(PaymentId),
}

impl Subject {
    fn invoice(self) -> Option<InvoiceId> {
        match self {
            Self::Invoice(id) => Some(id),
            Self::Payment(_) => None,
        }
    }

    fn payment(self) -> Option<PaymentId> {
        match self {
            Self::Payment(id) => Some(id),
            Self::Invoice(_) => None,
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Invoice(id) => id.0,
            Self::Payment(id) => id.0,
        }
    }
}

/// The sum of an account's entries.
struct Sum {
    code: String,
    minor: i64,
}

impl FromRow for Sum {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { code: row.get("code")?, minor: row.get("minor")? })
    }
}

/// Books what brings the entries of `subject` to `wanted`; whether anything had to be booked.
///
/// The caller holds the row of the subject, so that two never book the same difference.
///
/// # Errors
///
/// [`DbError::Corrupt`] where the difference does not sum to zero, which is a fault of this program; nothing is booked
/// then. [`DbError`] when the database fails.
pub async fn book(
    db: &mut Tx,
    clinic: ClinicId,
    subject: Subject,
    currency: Currency,
    wanted: &BTreeMap<String, i64>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let actual = booked(db, clinic, subject).await?;
    let changes = difference(wanted, &actual);
    if changes.is_empty() {
        return Ok(false);
    }
    if changes.iter().map(|(_, amount)| i128::from(*amount)).sum::<i128>() != 0 {
        return Err(DbError::Corrupt("a transaction of the ledger does not sum to zero".to_owned()));
    }
    let transaction = Uuid::now_v7();
    let count = match subject {
        Subject::Invoice(_) => {
            "SELECT count(*) FROM ledger_transactions WHERE clinic_id = $1 AND invoice_id = $2"
        }
        Subject::Payment(_) => {
            "SELECT count(*) FROM ledger_transactions WHERE clinic_id = $1 AND payment_id = $2"
        }
    };
    let number: i64 = sql(count).bind(clinic).bind(subject.id()).fetch_one(db).await?;
    sql("INSERT INTO ledger_transactions (transaction_id, clinic_id, reference, invoice_id, payment_id, booked_at)
         VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(transaction)
        .bind(clinic)
        .bind(format!("{}/{}", subject.id(), number + 1))
        .bind(subject.invoice())
        .bind(subject.payment())
        .bind(now)
        .execute(db)
        .await?;
    for (place, (code, amount)) in (0_i64..).zip(changes) {
        let account = account(db, clinic, &code, currency).await?;
        sql("INSERT INTO ledger_entries (clinic_id, transaction_id, place, account_id, amount_minor)
             VALUES ($1, $2, $3, $4, $5)")
        .bind(clinic)
        .bind(transaction)
        .bind(place)
        .bind(account)
        .bind(amount)
        .execute(db)
        .await?;
    }
    Ok(true)
}

/// The clinic's account of that code and currency, opened where it is new.
async fn account(db: &mut Tx, clinic: ClinicId, code: &str, currency: Currency) -> Result<Uuid> {
    let find = "SELECT account_id FROM ledger_accounts WHERE clinic_id = $1 AND code = $2 AND currency = $3";
    let find = || sql(find).bind(clinic).bind(code).bind(currency.code());
    if let Some(known) = find().fetch_optional::<Uuid>(db).await? {
        return Ok(known);
    }
    sql("INSERT INTO ledger_accounts (account_id, clinic_id, code, currency) VALUES ($1, $2, $3, $4)
         ON CONFLICT (clinic_id, code, currency) DO NOTHING")
    .bind(Uuid::now_v7())
    .bind(clinic)
    .bind(code)
    .bind(currency.code())
    .execute(db)
    .await?;
    find().fetch_one(db).await
}

/// What is booked for a subject, account by account.
///
/// # Errors
///
/// [`DbError`] when the database fails.
pub async fn booked(db: &mut Conn, clinic: ClinicId, subject: Subject) -> Result<BTreeMap<String, i64>> {
    let select = match subject {
        Subject::Invoice(_) => {
            "SELECT a.code, CAST(SUM(e.amount_minor) AS BIGINT) AS minor
               FROM ledger_transactions t
               JOIN ledger_entries e ON e.transaction_id = t.transaction_id
               JOIN ledger_accounts a ON a.account_id = e.account_id
              WHERE t.clinic_id = $1 AND t.invoice_id = $2 GROUP BY a.code"
        }
        Subject::Payment(_) => {
            "SELECT a.code, CAST(SUM(e.amount_minor) AS BIGINT) AS minor
               FROM ledger_transactions t
               JOIN ledger_entries e ON e.transaction_id = t.transaction_id
               JOIN ledger_accounts a ON a.account_id = e.account_id
              WHERE t.clinic_id = $1 AND t.payment_id = $2 GROUP BY a.code"
        }
    };
    let sums: Vec<Sum> = sql(select).bind(clinic).bind(subject.id()).fetch_all(db).await?;
    Ok(sums.into_iter().filter(|sum| sum.minor != 0).map(|sum| (sum.code, sum.minor)).collect())
}

/// The balance of an account of the clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// As `receivable`.
    pub code: String,
    /// Of which currency.
    pub currency: Currency,
    /// Debit above zero, in minor units.
    pub minor: i64,
}

impl FromRow for Balance {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { code: row.get("code")?, currency: row.parse("currency")?, minor: row.get("minor")? })
    }
}

/// Every account of the clinic with its balance, by code and currency.
///
/// # Errors
///
/// [`DbError`] when the database fails.
pub async fn balances(db: &mut Conn, clinic: ClinicId) -> Result<Vec<Balance>> {
    let select = "SELECT a.code, a.currency, CAST(COALESCE(SUM(e.amount_minor), 0) AS BIGINT) AS minor
                    FROM ledger_accounts a LEFT JOIN ledger_entries e ON e.account_id = a.account_id
                   WHERE a.clinic_id = $1 GROUP BY a.code, a.currency ORDER BY a.code, a.currency";
    sql(select).bind(clinic).fetch_all(db).await
}

/// Transactions of the clinic whose entries do not sum to zero in some currency: none, or the rows were tampered with.
///
/// # Errors
///
/// [`DbError`] when the database fails.
pub async fn unbalanced(db: &mut Conn, clinic: ClinicId) -> Result<Vec<Uuid>> {
    let select = "SELECT e.transaction_id FROM ledger_entries e
                    JOIN ledger_accounts a ON a.account_id = e.account_id
                   WHERE e.clinic_id = $1 GROUP BY e.transaction_id, a.currency
                  HAVING SUM(e.amount_minor) <> 0 LIMIT 1000";
    sql(select).bind(clinic).fetch_all(db).await
}

#[cfg(test)]
mod tests {
    use storage::testing::{now, on_both};

    use super::*;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn sums(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
        pairs.iter().map(|(code, minor)| ((*code).to_owned(), *minor)).collect()
    }

    #[tokio::test]
    async fn the_difference_alone_is_booked_and_nothing_twice() {
        on_both(async |db| {
            let subject = Subject::Invoice(InvoiceId::new());
            let currency: Currency = "USD".parse().unwrap();
            let issued = sums(&[("receivable", 500), ("revenue", -500)]);
            let paid = sums(&[("clearing:stripe", 500), ("revenue", -500)]);
            let mut tx = db.begin().await.unwrap();
            for (wanted, is_new) in [(&issued, true), (&issued, false), (&paid, true), (&paid, false)] {
                assert_eq!(book(&mut tx, CLINIC, subject, currency, wanted, now()).await.unwrap(), is_new);
            }
            assert_eq!(booked(&mut tx, CLINIC, subject).await.unwrap(), paid);
            assert_eq!(unbalanced(&mut tx, CLINIC).await.unwrap(), [] as [Uuid; 0]);
            let found = balances(&mut tx, CLINIC).await.unwrap();
            let found: Vec<_> = found.iter().map(|it| (it.code.as_str(), it.minor)).collect();
            assert_eq!(found, [("clearing:stripe", 500), ("receivable", 0), ("revenue", -500)]);
            assert_eq!(booked(&mut tx, ClinicId::new(), subject).await.unwrap(), BTreeMap::new());
        })
        .await;
    }

    #[tokio::test]
    async fn what_does_not_sum_to_zero_is_not_booked() {
        on_both(async |db| {
            let subject = Subject::Payment(PaymentId::new());
            let mut tx = db.begin().await.unwrap();
            let odd = sums(&[("credit", -1)]);
            let refused = book(&mut tx, CLINIC, subject, "USD".parse().unwrap(), &odd, now()).await;
            assert!(matches!(refused, Err(DbError::Corrupt(_))));
            assert_eq!(booked(&mut tx, CLINIC, subject).await.unwrap(), BTreeMap::new());
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_booked_can_neither_be_changed_nor_removed() {
        for change in [
            "UPDATE ledger_entries SET amount_minor = 0",
            "DELETE FROM ledger_entries",
            "UPDATE ledger_transactions SET reference = 'x'",
            "DELETE FROM ledger_transactions",
        ] {
            on_both(async |db| {
                let mut tx = db.begin().await.unwrap();
                let wanted = sums(&[("credit", -1), ("clearing:paypal", 1)]);
                let subject = Subject::Payment(PaymentId::new());
                book(&mut tx, CLINIC, subject, "USD".parse().unwrap(), &wanted, now()).await.unwrap();
                assert!(matches!(sql(change).execute(&mut tx).await, Err(DbError::Engine(_))), "{change}");
            })
            .await;
        }
    }
}
