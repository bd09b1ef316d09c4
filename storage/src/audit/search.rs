//! Reading the trail, newest first.

use chrono::{DateTime, Utc};
use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::{AuditId, ClinicId, PatientId, SessionId};
use clinical::role::Role;
use uuid::Uuid;

use crate::audit::id_of;
use crate::db::{Conn, DbError, FromRow, Result, Row, built_sql};
use crate::value::Value;

/// One line of the trail as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its identifier; later lines have greater ones.
    pub audit_id: AuditId,
    /// What was told.
    pub entry: Entry,
    /// Its place in the clinic's chain; `None` until it is sealed.
    pub seq: Option<i64>,
    /// The chain's hash up to and with it, in hexadecimal.
    pub hash: Option<String>,
}

impl FromRow for Recorded {
    fn from_row(row: &Row) -> Result<Self> {
        let corrupt = |column: &str| DbError::Corrupt(format!("audit_trail.{column}"));
        let (kind, id): (String, String) = (row.get("actor_kind")?, row.get("actor_id")?);
        let actor = if id.is_empty() { kind } else { format!("{kind}:{id}") };
        let role: Option<String> = row.get("role")?;
        let role = role.map(|role| role.parse::<Role>()).transpose().map_err(|_| corrupt("role"))?;
        let detail: Option<String> = row.get("detail")?;
        let detail =
            detail.map(|detail| serde_json::from_str(&detail)).transpose().map_err(|_| corrupt("detail"))?;
        Ok(Self {
            audit_id: row.id("audit_id")?,
            entry: Entry {
                clinic_id: row.id("clinic_id")?,
                at: row.get("happened_at")?,
                actor: actor.parse().map_err(|_| corrupt("actor_kind"))?,
                role,
                session: row.get::<Option<Uuid>>("session_id")?.map(SessionId),
                action: row.get("action")?,
                record_id: row.get("record_id")?,
                patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
                route: row.get("route")?,
                address: row.get("address")?,
                request_id: row.get("request_id")?,
                outcome: row.parse("outcome")?,
                detail,
            },
            seq: row.get("seq")?,
            hash: row.get("hash")?,
        })
    }
}

/// Which lines are looked for; what is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// By whom.
    pub actor: Option<Actor>,
    /// About whom.
    pub patient_id: Option<PatientId>,
    /// What was done: `patient:read`.
    pub action: Option<String>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

/// At most `limit` lines of the clinic, newest first, older than `after` where it is given.
///
/// # Errors
///
/// [`DbError`] when the engine fails or a line does not read.
pub async fn search(
    db: &mut Conn,
    clinic: ClinicId,
    filter: &Filter,
    after: Option<AuditId>,
    limit: i64,
) -> Result<Vec<Recorded>> {
    let mut values = vec![Value::from(clinic)];
    let mut text = format!("SELECT {}, seq, hash FROM audit_trail WHERE clinic_id = $1", super::COLUMNS);
    let conditions: [(&str, Option<Value>); 8] = [
        (" AND audit_id < ", after.map(Into::into)),
        (" AND actor_kind = ", filter.actor.map(|actor| actor.kind().into())),
        (
            " AND actor_id = ",
            filter.actor.map(|actor| actor.id().map_or(String::new(), |id| id.to_string()).into()),
        ),
        (" AND patient_id = ", filter.patient_id.map(Into::into)),
        (" AND action = ", filter.action.as_deref().map(Into::into)),
        (" AND outcome = ", filter.outcome.map(|outcome| outcome.as_str().into())),
        (" AND audit_id >= ", filter.from.map(|from| first_at(from).into())),
        (" AND audit_id < ", filter.to.map(|to| first_at(to).into())),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            values.push(value);
            text.push_str(&format!("{condition}${}", values.len()));
        }
    }
    text.push_str(&format!(" ORDER BY audit_id DESC LIMIT ${}", values.len() + 1));
    let statement = values.into_iter().fold(built_sql(text), |statement, value| statement.bind(value));
    statement.bind(limit).fetch_all(db).await
}

/// One line of the clinic.
///
/// # Errors
///
/// [`DbError::NotFound`] when it is not there, or another clinic's.
pub async fn find(db: &mut Conn, clinic: ClinicId, audit_id: AuditId) -> Result<Recorded> {
    let text = format!(
        "SELECT {}, seq, hash FROM audit_trail WHERE clinic_id = $1 AND audit_id = $2",
        super::COLUMNS
    );
    built_sql(text).bind(clinic).bind(audit_id).fetch_one(db).await
}

/// The least identifier of that microsecond, so that a span of time is a span of the key.
fn first_at(at: DateTime<Utc>) -> AuditId {
    id_of(at, [0; 8])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::audit::tests::{CLINIC, entry};
    use crate::audit::write;
    use crate::testing::{now, on_both};
    use chrono::TimeDelta;

    #[tokio::test]
    async fn each_filter_finds_its_lines_newest_first() {
        on_both(async |db| {
            let first = entry(0);
            let denied = Entry { outcome: Outcome::Denied, actor: Actor::Unknown, ..entry(10) };
            let listed = Entry { action: "patient:list".to_owned(), patient_id: None, ..entry(20) };
            let foreign = Entry { clinic_id: ClinicId::new(), ..entry(30) };
            let mut tx = db.begin().await.unwrap();
            for it in [&first, &denied, &listed, &foreign] {
                write(&mut tx, it).await.unwrap();
            }
            tx.commit().await.unwrap();
            let mut read = db.read().await.unwrap();
            let at = |micros| Some(now() + TimeDelta::microseconds(micros));
            let any = Filter::default();
            let cases: [(Filter, &[&Entry]); 8] = [
                (any.clone(), &[&listed, &denied, &first]),
                (Filter { actor: Some(first.actor), ..any.clone() }, &[&first]),
                (Filter { actor: Some(Actor::Unknown), ..any.clone() }, &[&denied]),
                (Filter { patient_id: first.patient_id, ..any.clone() }, &[&first]),
                (Filter { action: Some("patient:list".to_owned()), ..any.clone() }, &[&listed]),
                (Filter { outcome: Some(Outcome::Denied), ..any.clone() }, &[&denied]),
                (Filter { from: at(10), to: at(20), ..any.clone() }, &[&denied]),
                (Filter { from: at(11), ..any.clone() }, &[&listed]),
            ];
            for (filter, expected) in cases {
                let found = search(&mut read, CLINIC, &filter, None, 9).await.unwrap();
                let found: Vec<_> = found.iter().map(|row| &row.entry).collect();
                assert_eq!(found, expected, "{filter:?}");
            }
            let newest = search(&mut read, CLINIC, &any, None, 1).await.unwrap();
            let older = search(&mut read, CLINIC, &any, Some(newest[0].audit_id), 1).await.unwrap();
            assert_eq!((&newest[0].entry, &older[0].entry), (&listed, &denied));
            assert_eq!(find(&mut read, CLINIC, newest[0].audit_id).await.unwrap(), newest[0]);
            assert!(find(&mut read, foreign.clinic_id, newest[0].audit_id).await.is_err());
        })
        .await;
    }

    /// A year that no identifier can tell must not begin again at the first.
    #[test]
    fn an_instant_beyond_all_bounds_stays_beyond() {
        assert!(first_at(DateTime::<Utc>::MAX_UTC) > first_at(now()));
        assert!(first_at(DateTime::<Utc>::MIN_UTC) < first_at(now()));
    }
}
