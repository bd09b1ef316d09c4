//! What is stated about a patient: allergies, conditions, medication, vital signs.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId, StatementId};
use clinical::role::Resource;
pub use clinical::statement::{Fact, Statement};
use serde_json::json;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

const SELECT: &str =
    "SELECT statement_id, patient_id, body, is_entered_in_error, recorded_by, recorded_at, updated_at
                        FROM statements ";

/// Whether a list shows what was entered in error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistakes {
    /// It does.
    Shown,
    /// It does not.
    LeftOut,
}

impl FromRow for Statement {
    fn from_row(row: &Row) -> Result<Self> {
        let fact = serde_json::from_value(row.get("body")?);
        Ok(Self {
            statement_id: row.id("statement_id")?,
            patient_id: row.id("patient_id")?,
            fact: fact.map_err(|_| DbError::Corrupt("statements.body".to_owned()))?,
            is_entered_in_error: row.get("is_entered_in_error")?,
            recorded_by: row.get("recorded_by")?,
            recorded_at: row.get("recorded_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

/// Writes down what `by` states; the caller holds the patient
/// ([`Patient::hold`](super::patient::Patient::hold)).
pub async fn record(
    db: &mut Tx,
    clinic: ClinicId,
    patient: PatientId,
    fact: Fact,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Statement> {
    let statement = Statement {
        statement_id: StatementId::new(),
        patient_id: patient,
        fact,
        is_entered_in_error: false,
        recorded_by: by.to_owned(),
        recorded_at: now,
        updated_at: now,
    };
    let insert =
        "INSERT INTO statements (statement_id, clinic_id, patient_id, kind, code, body, is_entered_in_error,
                                          recorded_by, recorded_at, updated_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    sql(insert)
        .bind(statement.statement_id)
        .bind(clinic)
        .bind(patient)
        .bind(statement.fact.kind().as_str())
        .bind(&statement.fact.coding().code)
        .bind(json!(statement.fact))
        .bind(false)
        .bind(by)
        .bind(now)
        .execute(db)
        .await?;
    Ok(statement)
}

/// One statement of one kind, about whomever.
///
/// # Errors
///
/// [`DbError::NotFound`] when the clinic has none of that identifier and kind.
pub async fn find(db: &mut Conn, clinic: ClinicId, kind: Resource, id: StatementId) -> Result<Statement> {
    built_sql(format!("{SELECT} WHERE clinic_id = $1 AND statement_id = $2 AND kind = $3"))
        .bind(clinic)
        .bind(id)
        .bind(kind.as_str())
        .fetch_one(db)
        .await
}

/// What is stated about a patient, of one kind or of all, newest first, from before `after` on.
pub async fn of_patient(
    db: &mut Conn,
    clinic: ClinicId,
    patient: PatientId,
    kind: Option<Resource>,
    mistakes: Mistakes,
    after: Option<StatementId>,
    limit: i64,
) -> Result<Vec<Statement>> {
    let mut text = format!("{SELECT} WHERE clinic_id = $1 AND patient_id = $2 AND statement_id < $3");
    if mistakes == Mistakes::LeftOut {
        text += " AND NOT is_entered_in_error";
    }
    if kind.is_some() {
        text += " AND kind = $5";
    }
    text += " ORDER BY statement_id DESC LIMIT $4";
    let statement = built_sql(text)
        .bind(clinic)
        .bind(patient)
        .bind(after.unwrap_or(StatementId(Uuid::max())))
        .bind(limit);
    match kind {
        Some(kind) => statement.bind(kind.as_str()).fetch_all(db).await,
        None => statement.fetch_all(db).await,
    }
}

/// Puts `fact` in the place of what was stated.
///
/// # Errors
///
/// [`DbError::NotFound`] when it is not there, or was entered in error.
pub async fn change(
    db: &mut Tx,
    clinic: ClinicId,
    id: StatementId,
    fact: &Fact,
    now: DateTime<Utc>,
) -> Result<()> {
    let update = "UPDATE statements SET body = $3, code = $4, updated_at = $5
                   WHERE clinic_id = $1 AND statement_id = $2 AND NOT is_entered_in_error";
    let changed = sql(update)
        .bind(clinic)
        .bind(id)
        .bind(json!(fact))
        .bind(&fact.coding().code)
        .bind(now)
        .execute(db)
        .await?;
    if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
}

/// Says that it was never true; whether it was not said before.
pub async fn retract(db: &mut Tx, clinic: ClinicId, id: StatementId, now: DateTime<Utc>) -> Result<bool> {
    let update = "UPDATE statements SET is_entered_in_error = $3, updated_at = $4
                   WHERE clinic_id = $1 AND statement_id = $2 AND NOT is_entered_in_error";
    let changed = sql(update).bind(clinic).bind(id).bind(true).bind(now).execute(db).await?;
    Ok(changed == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::patient::Patient;
    use crate::testing::{now, on_both};
    use clinical::coding::{Coding, SNOMED};
    use clinical::person::{Demographics, PersonName};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    pub(crate) fn fact(kind: &str, display: &str) -> Fact {
        let mut body = json!({"kind": kind, "coding": Coding::of(SNOMED, "1", display)});
        if kind == "vital" {
            body["takenAt"] = json!(now());
        }
        serde_json::from_value(body).unwrap()
    }

    async fn ada(tx: &mut Tx) -> PatientId {
        let person = Demographics { name: PersonName::from_dicom("Test^Ada"), ..Demographics::default() };
        Patient::register(tx, CLINIC, &person, false, now()).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_stated_reads_back_by_kind_newest_first() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let patient = ada(&mut tx).await;
            let mut made = Vec::new();
            for kind in ["allergy", "condition", "medication", "vital", "allergy"] {
                made.push(record(&mut tx, CLINIC, patient, fact(kind, kind), "user:1", now()).await.unwrap());
            }
            let of = async |tx: &mut Tx, kind, after, limit| {
                of_patient(tx, CLINIC, patient, kind, Mistakes::LeftOut, after, limit).await.unwrap()
            };
            let allergies = of(&mut tx, Some(Resource::Allergy), None, 9).await;
            assert_eq!(allergies, [made[4].clone(), made[0].clone()]);
            let rest = of(&mut tx, None, Some(made[2].statement_id), 9).await;
            assert_eq!(rest, [made[1].clone(), made[0].clone()]);
            let id = made[3].statement_id;
            assert_eq!(find(&mut tx, CLINIC, Resource::Vital, id).await.unwrap(), made[3]);
            assert!(find(&mut tx, CLINIC, Resource::Allergy, id).await.is_err());
            assert!(find(&mut tx, ClinicId::new(), Resource::Vital, id).await.is_err());
        })
        .await;
    }

    #[tokio::test]
    async fn a_mistake_is_kept_leaves_the_list_and_changes_no_more() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let patient = ada(&mut tx).await;
            let made = record(&mut tx, CLINIC, patient, fact("allergy", "a"), "user:1", now()).await.unwrap();
            let (id, other) = (made.statement_id, fact("allergy", "b"));
            change(&mut tx, CLINIC, id, &other, now()).await.unwrap();
            assert_eq!(find(&mut tx, CLINIC, Resource::Allergy, id).await.unwrap().fact, other);
            assert!(retract(&mut tx, CLINIC, id, now()).await.unwrap());
            assert!(!retract(&mut tx, CLINIC, id, now()).await.unwrap(), "it is said once");
            assert!(matches!(change(&mut tx, CLINIC, id, &other, now()).await, Err(DbError::NotFound)));
            let kept = find(&mut tx, CLINIC, Resource::Allergy, id).await.unwrap();
            assert!(kept.is_entered_in_error);
            for (mistakes, count) in [(Mistakes::LeftOut, 0), (Mistakes::Shown, 1)] {
                let shown = of_patient(&mut tx, CLINIC, patient, None, mistakes, None, 9).await.unwrap();
                assert_eq!(shown.len(), count);
            }
        })
        .await;
    }
}
