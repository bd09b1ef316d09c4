//! How a row and the hash before it become the next hash.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};
use clinical::id::{AuditId, ClinicId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{FromRow, Result, Row};

/// Parts these hashes from any other use of SHA-256.
const DOMAIN: &[u8] = b"medilink audit 1";
/// Stands for NULL where the length of a value stands else.
const NULL: u32 = u32::MAX;

/// SHA-256 over a clinic's trail up to a row; 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before a clinic's first row: no chain can stand for another clinic's.
    pub fn before_first(clinic: ClinicId) -> Self {
        Self::of(&[DOMAIN, clinic.0.as_bytes()])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|part| context.update(part));
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// A text that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hexadecimal digits in lower case")]
pub struct NoHash;

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NoHash);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(hash))
    }
}

fn value(digit: u8) -> Result<u8, NoHash> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NoHash),
    }
}

/// Where a clinic's chain ends, or ended once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The clinic.
    pub clinic_id: ClinicId,
    /// How many rows are sealed.
    pub seq: i64,
    /// The last one's hash.
    #[serde(with = "as_text")]
    pub hash: Hash,
}

mod as_text {
    use super::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(hash: &Hash, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(hash)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Hash, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl FromRow for Head {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { clinic_id: row.id("clinic_id")?, seq: row.get("seq")?, hash: row.parse("hash")? })
    }
}

/// A row as the chain sees it: what it says, to the letter, whether or not it makes sense.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) audit_id: AuditId,
    said: Vec<u8>,
}

impl Link {
    /// The hash that follows when this row stands behind `before`.
    pub(super) fn behind(&self, before: Hash) -> Hash {
        Hash::of(&[DOMAIN, &before.0, &self.said])
    }
}

/// Each column by its length and bytes, in the order of `COLUMNS`; instants as seconds and nanoseconds.
impl FromRow for Link {
    fn from_row(row: &Row) -> Result<Self> {
        let mut said = Vec::with_capacity(512);
        let audit_id: AuditId = row.id("audit_id")?;
        put(&mut said, Some(audit_id.0.as_bytes()));
        put(&mut said, Some(row.get::<Uuid>("clinic_id")?.as_bytes()));
        let at: DateTime<Utc> = row.get("happened_at")?;
        put(&mut said, Some(&at.timestamp().to_be_bytes()));
        put(&mut said, Some(&at.timestamp_subsec_nanos().to_be_bytes()));
        for column in ["actor_kind", "actor_id", "role"] {
            put_text(&mut said, row, column)?;
        }
        put(&mut said, row.get::<Option<Uuid>>("session_id")?.as_ref().map(|id| id.as_bytes().as_slice()));
        for column in ["action", "record_id"] {
            put_text(&mut said, row, column)?;
        }
        put(&mut said, row.get::<Option<Uuid>>("patient_id")?.as_ref().map(|id| id.as_bytes().as_slice()));
        for column in ["route", "address", "request_id", "outcome", "detail"] {
            put_text(&mut said, row, column)?;
        }
        Ok(Self { audit_id, said })
    }
}

fn put_text(said: &mut Vec<u8>, row: &Row, column: &str) -> Result<()> {
    put(said, row.get::<Option<String>>(column)?.as_deref().map(str::as_bytes));
    Ok(())
}

fn put(said: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(NULL, |value| value.len() as u32);
    said.extend_from_slice(&length.to_be_bytes());
    said.extend_from_slice(value.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_and_nothing_else_reads() {
        let hash = Hash::before_first(ClinicId::DEFAULT);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let capital = hash.to_string().to_uppercase();
        for odd in ["", "00", &capital, &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(odd.parse::<Hash>(), Err(NoHash), "{odd}");
        }
    }

    /// Values that were run together would let one column's text become its neighbour's.
    #[test]
    fn neighbouring_values_do_not_run_together() {
        let said = |values: &[Option<&str>]| {
            let mut said = Vec::new();
            values.iter().for_each(|value| put(&mut said, value.map(str::as_bytes)));
            said
        };
        assert_ne!(said(&[Some("ab"), Some("c")]), said(&[Some("a"), Some("bc")]));
        assert_ne!(said(&[None]), said(&[Some("")]));
    }
}
