//! Walks every clinic's chain again and names what does not hold.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use clinical::id::{AuditId, ClinicId};
use uuid::Uuid;

use crate::audit::COLUMNS;
use crate::audit::chain::{Hash, Head, Link};
use crate::audit::heads::Signed;
use crate::audit::seal::{kept_head, kept_heads};
use crate::audit::untangle::{MOST_COMPARED, Odd, untangle};
use crate::db::{Conn, Db, FromRow, Result, Row, built_sql, sql};

/// Rows of one page.
const PAGE: i64 = 500;
/// So many damages of a clinic are named; more are counted.
const MOST_NAMED: usize = 1_000;

/// What does not hold in a clinic's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The row does not give its hash: it was changed, or the row before it was changed together with its hash.
    Changed {
        /// Its place.
        seq: i64,
        /// Its identifier.
        audit_id: AuditId,
    },
    /// The row is whole and stands in another's place.
    Moved {
        /// Where it stands.
        seq: i64,
        /// Its identifier.
        audit_id: AuditId,
        /// Where it was sealed, when that can still be told.
        belongs_at: Option<i64>,
    },
    /// Rows are missing; what the first row behind them says cannot be checked.
    Removed {
        /// The first place without a row.
        from: i64,
        /// The last one.
        to: i64,
    },
    /// Rows are missing that a head says were there: the newest ones, or as many before, whose places others took.
    Cut {
        /// The first place without a row.
        from: i64,
        /// Where the head says the chain ended.
        to: i64,
        /// Which head.
        by: Claim,
    },
    /// The chain holds in itself but is not the one that a head was taken of: rows up to there were written anew.
    Rewritten {
        /// The place of the head.
        seq: i64,
        /// Which head.
        by: Claim,
    },
}

/// Who says where a chain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The signed file.
    SignedHead,
    /// The database's own note for the sealer, which is not signed.
    KeptHead,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq, audit_id } => {
                write!(
                    f,
                    "row {seq} ({audit_id}) was changed, or the row before it is not the one that was sealed"
                )
            }
            Self::Moved { seq, audit_id, belongs_at: Some(place) } => {
                write!(f, "row {seq} ({audit_id}) was moved: its place is {place}")
            }
            Self::Moved { seq, audit_id, belongs_at: None } => write!(f, "row {seq} ({audit_id}) was moved"),
            Self::Removed { from, to } => write!(f, "rows {from} to {to} were removed"),
            Self::Cut { from, to, by } => write!(f, "rows {from} to {to} were cut off: {by} knew them"),
            Self::Rewritten { seq, by } => {
                write!(f, "rows up to {seq} were written anew: {by} knew others")
            }
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignedHead => "the signed head",
            Self::KeptHead => "the database's own head",
        })
    }
}

/// What was found in one clinic's trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicReport {
    /// The clinic.
    pub clinic_id: ClinicId,
    /// How many sealed rows stand there.
    pub sealed: i64,
    /// How many rows wait for their seal, which nothing protects yet. No damage.
    pub unsealed: i64,
    /// Since when the oldest of them waits.
    pub unsealed_since: Option<DateTime<Utc>>,
    /// The last sealed row's place and hash.
    pub head: Option<Head>,
    /// What does not hold, in order of its finding; at most so many that they can be read.
    pub damages: Vec<Damage>,
    /// How many more there are.
    pub more_damages: u64,
}

/// What was found in all of them.
#[derive(Debug)]
pub struct Report {
    /// Each clinic that the rows or the heads name, by its identifier.
    pub clinics: Vec<ClinicReport>,
    /// Why the signed heads prove nothing, if so.
    pub heads_fault: Option<String>,
}

impl Report {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.heads_fault.is_none() && self.clinics.iter().all(|clinic| clinic.damages.is_empty())
    }
}

/// Walks every chain, page by page in flat memory, and holds it against `signed`, which must have been read before:
/// rows that are sealed meanwhile only make a chain longer.
///
/// # Errors
///
/// [`DbError`](crate::db::DbError) when the engine fails, or a row does not even tell its place.
pub async fn verify(db: &Db, signed: &Signed) -> Result<Report> {
    let heads: &[Head] = if let Signed::Checked(heads) = signed { heads } else { &[] };
    let mut read = db.read().await?;
    let mut clinics: BTreeSet<ClinicId> = heads.iter().map(|head| head.clinic_id).collect();
    clinics.extend(kept_heads(&mut read).await?.into_iter().map(|head| head.clinic_id));
    let mut next = Some(Uuid::nil());
    while let Some(least) = next {
        let clinic =
            sql("SELECT clinic_id FROM audit_trail WHERE clinic_id >= $1 ORDER BY clinic_id LIMIT 1");
        let Some(clinic) = clinic.bind(least).fetch_optional::<Uuid>(&mut read).await? else { break };
        clinics.insert(ClinicId(clinic));
        next = clinic.as_u128().checked_add(1).map(Uuid::from_u128);
    }
    let mut reports = Vec::with_capacity(clinics.len());
    for clinic in clinics {
        let head = heads.iter().find(|head| head.clinic_id == clinic);
        reports.push(walk(&mut read, clinic, head).await?);
    }
    let has_sealed = reports.iter().any(|clinic| clinic.sealed > 0);
    let heads_fault = match signed {
        Signed::Checked(_) => None,
        Signed::Missing => {
            has_sealed.then(|| "rows are sealed, but there is no file of signed heads".to_owned())
        }
        Signed::Broken(error) => Some(error.to_string()),
    };
    Ok(Report { clinics: reports, heads_fault })
}

async fn walk(db: &mut Conn, clinic: ClinicId, signed: Option<&Head>) -> Result<ClinicReport> {
    let mut claims = Vec::with_capacity(2);
    claims.extend(signed.map(|head| (*head, Claim::SignedHead)));
    claims.extend(kept_head(db, clinic).await?.map(|head| (head, Claim::KeptHead)));
    let mut walk = Walk::new(clinic);
    let page = format!(
        "SELECT {COLUMNS}, seq, hash FROM audit_trail
          WHERE clinic_id = $1 AND seq IS NOT NULL AND seq > $2 ORDER BY seq LIMIT $3"
    );
    let mut last = i64::MIN;
    loop {
        let rows = built_sql(page.clone()).bind(clinic).bind(last).bind(PAGE);
        let rows: Vec<Sealed> = rows.fetch_all(db).await?;
        let is_last = (rows.len() as i64) < PAGE;
        for row in rows {
            last = row.seq;
            walk.step(row, &claims);
        }
        if is_last {
            break;
        }
    }
    walk.settle();
    walk.hold_against(&claims);
    let unsealed = sql("SELECT count(*) FROM audit_trail WHERE clinic_id = $1 AND seq IS NULL");
    let since = sql(
        "SELECT happened_at FROM audit_trail WHERE clinic_id = $1 AND seq IS NULL ORDER BY audit_id LIMIT 1",
    );
    let since: Option<Instant> = since.bind(clinic).fetch_optional(db).await?;
    Ok(ClinicReport {
        unsealed: unsealed.bind(clinic).fetch_one(db).await?,
        unsealed_since: since.map(|Instant(at)| at),
        ..walk.report
    })
}

struct Instant(DateTime<Utc>);

impl FromRow for Instant {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("happened_at").map(Self)
    }
}

/// A sealed row; what of it no longer reads was changed by another hand.
struct Sealed {
    seq: i64,
    audit_id: Option<AuditId>,
    link: Option<Link>,
    hash: Option<Hash>,
}

impl FromRow for Sealed {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            audit_id: row.id("audit_id").ok(),
            link: Link::from_row(row).ok(),
            hash: row.parse("hash").ok(),
        })
    }
}

/// How far a chain was walked.
struct Walk {
    report: ClinicReport,
    /// The hash behind which the next row must fit; unknown behind a gap.
    before: Option<Hash>,
    expected: i64,
    odd: Vec<Odd>,
}

impl Walk {
    fn new(clinic_id: ClinicId) -> Self {
        let report = ClinicReport {
            clinic_id,
            sealed: 0,
            unsealed: 0,
            unsealed_since: None,
            head: None,
            damages: Vec::new(),
            more_damages: 0,
        };
        Self { report, before: Some(Hash::before_first(clinic_id)), expected: 1, odd: Vec::new() }
    }

    fn step(&mut self, row: Sealed, claims: &[(Head, Claim)]) {
        self.report.sealed += 1;
        let audit_id = row.audit_id.unwrap_or(AuditId(Uuid::nil()));
        let changed = Damage::Changed { seq: row.seq, audit_id };
        if row.seq < self.expected {
            return self.name(changed); // Places are counted from 1.
        }
        if row.seq > self.expected {
            self.settle();
            self.name(Damage::Removed { from: self.expected, to: row.seq - 1 });
            self.before = None;
        }
        self.expected = row.seq.saturating_add(1);
        match (self.before, row.link, row.hash) {
            (Some(before), Some(link), Some(hash)) if link.behind(before) != hash => {
                self.odd.push(Odd { seq: row.seq, link, before, hash });
                if self.odd.len() >= MOST_COMPARED {
                    self.settle();
                }
            }
            (_, Some(_), Some(_)) => {}
            (_, None, _) | (_, _, None) => self.name(changed),
        }
        self.before = row.hash;
        if let Some(hash) = row.hash {
            self.report.head = Some(Head { clinic_id: self.report.clinic_id, seq: row.seq, hash });
        }
        let denied = |(head, _): &&(Head, Claim)| {
            head.seq == row.seq && row.hash.is_some_and(|hash| hash != head.hash)
        };
        if let Some((_, by)) = claims.iter().find(denied) {
            self.name(Damage::Rewritten { seq: row.seq, by: *by });
        }
    }

    /// Names what has been found odd so far.
    fn settle(&mut self) {
        for damage in untangle(&std::mem::take(&mut self.odd)) {
            self.name(damage);
        }
    }

    /// A claim beyond the chain's end: the signed one is told, and the other when that one is silent.
    fn hold_against(&mut self, claims: &[(Head, Claim)]) {
        let last = self.expected - 1;
        if let Some((head, by)) = claims.iter().find(|(head, _)| head.seq > last) {
            self.name(Damage::Cut { from: self.expected, to: head.seq, by: *by });
        }
    }

    fn name(&mut self, damage: Damage) {
        if self.report.damages.len() < MOST_NAMED {
            self.report.damages.push(damage);
        } else {
            self.report.more_damages += 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
