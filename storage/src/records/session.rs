//! One sign-in of a person, until it ends or is revoked.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId, SessionId, UserId};
use clinical::role::Role;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use crate::secret::Sealed;

/// The purpose under which refresh keys are sealed, as the system's.
pub const REFRESH_KEY_PURPOSE: &str = "session";

/// How a session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Our identifier: also in the tokens.
    pub session_id: SessionId,
    /// The person.
    pub user_id: UserId,
    /// What its refresh tokens are made with, sealed.
    pub refresh_key: Sealed,
    /// `password`, or the name of a provider.
    pub means: String,
    /// From where they signed in.
    pub address: Option<String>,
    /// What their program calls itself.
    pub device: Option<String>,
    /// When it ends, unless it is refreshed.
    pub expires_at: DateTime<Utc>,
}

/// A stored session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Our identifier.
    pub session_id: SessionId,
    /// The person.
    pub user_id: UserId,
    /// What its refresh tokens are made with, sealed.
    pub refresh_key: Sealed,
    /// Which refresh token counts: the first is 0.
    pub generation: i64,
    /// Since when that one does.
    pub rotated_at: DateTime<Utc>,
    /// `password`, or the name of a provider.
    pub means: String,
    /// From where they signed in.
    pub address: Option<String>,
    /// What their program calls itself.
    pub device: Option<String>,
    /// When they signed in.
    pub created_at: DateTime<Utc>,
    /// When it ends, unless it is refreshed.
    pub expires_at: DateTime<Utc>,
    /// When it was ended before its time.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Who stands behind a session at the moment, and what they are where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The person.
    pub user_id: UserId,
    /// Their places in clinics, suspended ones too, the longest-standing first.
    pub places: Vec<Place>,
}

/// What somebody is in one clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The clinic.
    pub clinic_id: ClinicId,
    /// Their role there.
    pub role: Role,
    /// A physician's specialty.
    pub specialty: Option<String>,
    /// Whose records are the person's own.
    pub patient_id: Option<PatientId>,
}

const SELECT: &str =
    "SELECT session_id, user_id, refresh_key, generation, rotated_at, means, address, device,
                             created_at, expires_at, revoked_at FROM sessions ";

impl FromRow for Session {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            session_id: row.id("session_id")?,
            user_id: row.id("user_id")?,
            refresh_key: row.parse("refresh_key")?,
            generation: row.get("generation")?,
            rotated_at: row.get("rotated_at")?,
            means: row.get("means")?,
            address: row.get("address")?,
            device: row.get("device")?,
            created_at: row.get("created_at")?,
            expires_at: row.get("expires_at")?,
            revoked_at: row.get("revoked_at")?,
        })
    }
}

/// One row of a standing: the person, and one of their places.
struct StandingRow(UserId, Option<Place>);

impl FromRow for StandingRow {
    fn from_row(row: &Row) -> Result<Self> {
        let user_id = row.id("user_id")?;
        let Some(clinic_id) = row.get::<Option<Uuid>>("clinic_id")?.map(ClinicId) else {
            return Ok(Self(user_id, None));
        };
        let place = Place {
            clinic_id,
            role: row.parse("role")?,
            specialty: row.get("specialty")?,
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
        };
        Ok(Self(user_id, Some(place)))
    }
}

impl Session {
    /// Begins a session.
    pub async fn begin(db: &mut Tx, new: &NewSession, now: DateTime<Utc>) -> Result<()> {
        let insert = "INSERT INTO sessions (session_id, user_id, refresh_key, generation, rotated_at, means,
                                            address, device, created_at, expires_at)
                      VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $4, $8)";
        sql(insert)
            .bind(new.session_id)
            .bind(new.user_id)
            .bind(&new.refresh_key)
            .bind(now)
            .bind(&new.means)
            .bind(new.address.clone())
            .bind(new.device.clone())
            .bind(new.expires_at)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// One session.
    pub async fn find(db: &mut Conn, id: SessionId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE session_id = $1")).bind(id).fetch_one(db).await
    }

    /// The person's sessions that count, newest first.
    pub async fn live_of(db: &mut Conn, user: UserId, now: DateTime<Utc>) -> Result<Vec<Self>> {
        built_sql(format!(
            "{SELECT} WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
              ORDER BY session_id DESC LIMIT 1000"
        ))
        .bind(user)
        .bind(now)
        .fetch_all(db)
        .await
    }

    /// Who stands behind a session that counts; `None` when it ended, was revoked, or its person is disabled.
    pub async fn standing(db: &mut Conn, id: SessionId, now: DateTime<Utc>) -> Result<Option<Standing>> {
        let select = "SELECT s.user_id, m.clinic_id, m.role, m.specialty, m.patient_id
                        FROM sessions s
                        JOIN users u ON u.user_id = s.user_id AND u.state = 'active'
                        LEFT JOIN memberships m ON m.user_id = s.user_id
                       WHERE s.session_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2
                       ORDER BY m.membership_id";
        let rows: Vec<StandingRow> = sql(select).bind(id).bind(now).fetch_all(db).await?;
        let Some(&StandingRow(user_id, _)) = rows.first() else { return Ok(None) };
        Ok(Some(Standing {
            user_id,
            places: rows.into_iter().filter_map(|StandingRow(_, place)| place).collect(),
        }))
    }

    /// Moves on to the next refresh token; false when the session is over or another request was faster.
    pub async fn rotate(
        db: &mut Tx,
        id: SessionId,
        generation: i64,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<bool> {
        let update = "UPDATE sessions SET generation = generation + 1, rotated_at = $3, expires_at = $4
                       WHERE session_id = $1 AND generation = $2 AND revoked_at IS NULL AND expires_at > $3";
        let statement = sql(update).bind(id).bind(generation).bind(now).bind(expires_at);
        Ok(statement.execute(db).await? == 1)
    }

    /// Ends one of the person's sessions.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when they have no such session that counts.
    pub async fn revoke(db: &mut Tx, user: UserId, id: SessionId, now: DateTime<Utc>) -> Result<()> {
        let update = "UPDATE sessions SET revoked_at = $3
                       WHERE user_id = $1 AND session_id = $2 AND revoked_at IS NULL";
        match sql(update).bind(user).bind(id).bind(now).execute(db).await? {
            0 => Err(DbError::NotFound),
            _ => Ok(()),
        }
    }

    /// Ends every session of the person but one; how many.
    pub async fn revoke_all(
        db: &mut Tx,
        user: UserId,
        but: Option<SessionId>,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let update = "UPDATE sessions SET revoked_at = $3
                       WHERE user_id = $1 AND revoked_at IS NULL AND session_id <> $2";
        let but = but.unwrap_or(SessionId(Uuid::nil()));
        sql(update).bind(user).bind(but).bind(now).execute(db).await
    }

    /// Whether the person has signed in from the address since an instant.
    pub async fn knows_address(
        db: &mut Conn,
        user: UserId,
        address: &str,
        since: DateTime<Utc>,
    ) -> Result<bool> {
        let find = "SELECT session_id FROM sessions
                     WHERE user_id = $1 AND address = $2 AND created_at > $3 LIMIT 1";
        let found = sql(find).bind(user).bind(address).bind(since).fetch_optional::<Uuid>(db).await?;
        Ok(found.is_some())
    }

    /// Removes what ended before an instant; how many.
    pub async fn sweep(db: &mut Tx, ended_before: DateTime<Utc>) -> Result<u64> {
        sql("DELETE FROM sessions WHERE expires_at < $1").bind(ended_before).execute(db).await
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::records::member::{Member, Position};
    use crate::records::user::User;
    use crate::testing::{now, on_both};

    fn new(user_id: UserId) -> NewSession {
        NewSession {
            session_id: SessionId::new(),
            user_id,
            refresh_key: "a.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==".parse().unwrap(),
            means: "password".into(),
            address: Some("203.0.113.9".into()),
            device: None,
            expires_at: now() + TimeDelta::days(7),
        }
    }

    async fn user(tx: &mut Tx) -> UserId {
        let email = format!("{}@example.org", Uuid::now_v7().simple()).parse().unwrap();
        User::create(tx, &email, "Someone", None, now()).await.unwrap().user_id
    }

    #[tokio::test]
    async fn a_refresh_token_moves_on_once() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let session = new(user(&mut tx).await);
            let (id, end) = (session.session_id, session.expires_at);
            Session::begin(&mut tx, &session, now()).await.unwrap();
            assert!(Session::rotate(&mut tx, id, 0, now(), end).await.unwrap());
            assert!(!Session::rotate(&mut tx, id, 0, now(), end).await.unwrap(), "that one has gone");
            assert_eq!(Session::find(&mut tx, id).await.unwrap().generation, 1);
            assert!(!Session::rotate(&mut tx, id, 1, end, end).await.unwrap(), "the session has ended");
            Session::revoke(&mut tx, session.user_id, id, now()).await.unwrap();
            assert!(!Session::rotate(&mut tx, id, 1, now(), end).await.unwrap(), "the session is revoked");
        })
        .await;
    }

    #[tokio::test]
    async fn who_stands_behind_a_session_changes_with_their_places() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let ada = user(&mut tx).await;
            let session = new(ada);
            let id = session.session_id;
            Session::begin(&mut tx, &session, now()).await.unwrap();
            let nobody_yet = Session::standing(&mut tx, id, now()).await.unwrap().unwrap();
            assert_eq!(nobody_yet, Standing { user_id: ada, places: vec![] });
            let doctor = Position { specialty: Some("radiology".into()), ..Position::of(Role::Doctor) };
            Member::add(&mut tx, ClinicId::DEFAULT, ada, &doctor, now()).await.unwrap();
            let standing = Session::standing(&mut tx, id, now()).await.unwrap().unwrap();
            let place = Place {
                clinic_id: ClinicId::DEFAULT,
                role: Role::Doctor,
                specialty: Some("radiology".into()),
                patient_id: None,
            };
            assert_eq!(standing.places, [place]);

            assert_eq!(Session::standing(&mut tx, id, session.expires_at).await.unwrap(), None, "ended");
            User::disable(&mut tx, ada).await.unwrap();
            assert_eq!(Session::standing(&mut tx, id, now()).await.unwrap(), None, "disabled");
            User::enable(&mut tx, ada).await.unwrap();
            assert!(Session::standing(&mut tx, id, now()).await.unwrap().is_some());
            Session::revoke(&mut tx, ada, id, now()).await.unwrap();
            assert_eq!(Session::standing(&mut tx, id, now()).await.unwrap(), None, "revoked");
        })
        .await;
    }

    #[tokio::test]
    async fn sessions_are_ended_one_by_one_all_but_one_or_by_age() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let ada = user(&mut tx).await;
            let sessions = [new(ada), new(ada), new(ada)];
            for session in &sessions {
                Session::begin(&mut tx, session, now()).await.unwrap();
            }
            let stranger = Session::revoke(&mut tx, UserId::new(), sessions[0].session_id, now()).await;
            assert!(matches!(stranger, Err(DbError::NotFound)));
            let kept = sessions[1].session_id;
            assert_eq!(Session::revoke_all(&mut tx, ada, Some(kept), now()).await.unwrap(), 2);
            let live = Session::live_of(&mut tx, ada, now()).await.unwrap();
            assert_eq!(live.iter().map(|session| session.session_id).collect::<Vec<_>>(), [kept]);
            assert_eq!(Session::revoke_all(&mut tx, ada, None, now()).await.unwrap(), 1);

            let yesterday = now() - TimeDelta::days(1);
            assert!(Session::knows_address(&mut tx, ada, "203.0.113.9", yesterday).await.unwrap());
            assert!(!Session::knows_address(&mut tx, ada, "203.0.113.9", now()).await.unwrap());
            assert!(!Session::knows_address(&mut tx, ada, "203.0.113.8", yesterday).await.unwrap());
            assert_eq!(Session::sweep(&mut tx, now()).await.unwrap(), 0);
            assert_eq!(Session::sweep(&mut tx, now() + TimeDelta::days(8)).await.unwrap(), 3);
        })
        .await;
    }
}
