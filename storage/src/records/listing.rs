//! Lists of a clinic's rows, newest first: narrowed by what is asked for, and by whom the reader may see.

use clinical::id::ClinicId;

use super::patient::Shown;
use crate::db::{Statement, Value, built_sql};

/// A list that is being narrowed.
///
/// Its texts are words of ours; whatever comes from outside is an argument.
#[derive(Debug)]
pub struct Listing {
    text: String,
    values: Vec<Value>,
}

impl Listing {
    /// All that `select` gives, which ends in a condition on the clinic, as in `… WHERE clinic_id = $1`.
    pub fn of(select: impl Into<String>) -> Self {
        Self { text: select.into(), values: Vec::new() }
    }

    /// Those alone of which `condition`, which ends in an operator, holds with `value`; all where there is none.
    #[must_use]
    pub fn by(mut self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            let place = self.bind(value.into());
            self.text += &format!(" AND {condition} {place}");
        }
        self
    }

    /// Those alone that are of nobody, or of patients whom `shown` names, by the patient's `column`.
    #[must_use]
    pub fn shown(mut self, column: &str, shown: Shown) -> Self {
        let veil = shown.condition(column, |value| self.bind(value));
        self.text += &veil;
        self
    }

    /// At most `limit`, from before `after` on, by the identifier in the column `id`.
    pub fn newest(
        self,
        id: &str,
        after: Option<impl Into<Value>>,
        clinic: ClinicId,
        limit: i64,
    ) -> Statement {
        let Self { text, values } = self.by(&format!("{id} <"), after);
        let statement = built_sql(format!("{text} ORDER BY {id} DESC LIMIT $2")).bind(clinic).bind(limit);
        values.into_iter().fold(statement, Statement::bind)
    }

    /// Keeps an argument; its place, behind the clinic and the limit.
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len() + 2)
    }
}
