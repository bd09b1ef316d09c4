//! Looking patients up, newest first.

use chrono::NaiveDate;
use clinical::id::{ClinicId, PatientId};

use super::{Patient, Sight, chosen, part_key};
use crate::db::{Conn, Result, Statement, Value};

/// Most words of a name that are looked for.
const WORDS: usize = 4;

/// Whom to look for; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientFilter {
    /// What family or given name begins with; several words may stand in either.
    pub name: Option<String>,
    /// The issuer of an identifier, where it matters, and its value.
    pub identifier: Option<(Option<String>, String)>,
    /// When they were born.
    pub birth_date: Option<NaiveDate>,
}

struct Clauses {
    text: String,
    values: Vec<Value>,
}

impl Clauses {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Family or given name begins with `key`; the last of all characters ends the range.
    fn begins(&mut self, key: &str) -> String {
        let (from, to) = (self.bind(key), self.bind(format!("{key}\u{10FFFF}")));
        format!("(family_key >= {from} AND family_key < {to} OR given_key >= {from} AND given_key < {to})")
    }

    fn named(&mut self, name: &str) {
        let key = part_key(name.trim());
        let words: Vec<&str> =
            key.split([' ', ',', '^']).filter(|word| !word.is_empty()).take(WORDS).collect();
        let whole = self.begins(&key);
        let each: Vec<String> = words.iter().map(|word| self.begins(word)).collect();
        let any = if each.len() > 1 { format!("({whole} OR {})", each.join(" AND ")) } else { whole };
        self.text += &format!(" AND {any}");
    }
}

impl Patient {
    /// The clinic's patients, newest first, from before `after` on; those that are merged or erased are left out, and
    /// so are restricted ones where `sight` does not reach them.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        filter: &PatientFilter,
        sight: Sight,
        after: Option<PatientId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let mut clauses = Clauses {
            text: "WHERE clinic_id = $1 AND merged_into IS NULL AND erased_at IS NULL".to_owned(),
            values: vec![clinic.into()],
        };
        if sight == Sight::Nothing {
            clauses.text += " AND NOT is_restricted";
        }
        if let Some(after) = after {
            let place = clauses.bind(after);
            clauses.text += &format!(" AND patient_id < {place}");
        }
        if let Some((issuer, value)) = &filter.identifier {
            let value = clauses.bind(value);
            let issuer = match issuer {
                Some(issuer) => format!(" AND issuer = {}", clauses.bind(issuer)),
                None => String::new(),
            };
            clauses.text += &format!(
                " AND patient_id IN (SELECT patient_id FROM patient_identifiers
                                      WHERE clinic_id = $1 AND value = {value}{issuer})"
            );
        }
        if let Some(day) = filter.birth_date {
            let place = clauses.bind(day.format("%Y%m%d").to_string());
            clauses.text += &format!(" AND birth_date = {place}");
        }
        if let Some(name) = &filter.name {
            clauses.named(name);
        }
        let limit = clauses.bind(limit);
        let Clauses { text, values } = clauses;
        let statement = chosen(&format!("{text} ORDER BY patient_id DESC LIMIT {limit}"));
        Self::all(db, values.into_iter().fold(statement, Statement::bind)).await
    }
}
