//! Who sees a restricted record: its own patient, those who answer for the clinic, and whoever has broken the glass.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, GrantId, PatientId, UserId};
use clinical::role::{Action, Permission, Resource, Role};
use uuid::Uuid;

use super::{Patient, setting};
use crate::db::{Conn, FromRow, Result, Row, Tx, Value, sql};

/// The setting that says for how many hours the glass stays broken, and what holds without it.
const HOURS: (&str, i64) = ("breakGlassHours", 4);

/// Whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// What they are in the clinic; a machine is nothing.
    pub role: Option<Role>,
    /// Which person; machines cannot break the glass.
    pub user_id: Option<UserId>,
    /// Whose record is their own.
    pub own: Option<PatientId>,
}

/// What a reader sees of restricted records without having broken the glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All of them.
    Everything,
    /// That they are there: whoever may break the glass must be able to ask.
    Existence,
    /// Not even that.
    Nothing,
}

impl Reader {
    /// What this reader sees of restricted records.
    pub fn sight(&self) -> Sight {
        let breaks = Permission { resource: Resource::BreakGlass, action: Action::Create };
        match self.role {
            Some(Role::SuperAdmin | Role::ClinicAdmin) => Sight::Everything,
            Some(role) if role.reach(breaks).is_some() && self.user_id.is_some() => Sight::Existence,
            _ => Sight::Nothing,
        }
    }

    /// Whose records a list holds for this reader.
    pub fn shown(&self, now: DateTime<Utc>) -> Shown {
        match (self.sight(), self.user_id) {
            (Sight::Everything, _) => Shown::Everybody,
            (Sight::Existence, Some(user_id)) => Shown::OpenTo(user_id, now),
            _ => Shown::Unrestricted,
        }
    }
}

/// Whose records a list holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// Those that are not restricted.
    #[default]
    Unrestricted,
    /// These, and the restricted ones for which a person has broken the glass.
    OpenTo(UserId, DateTime<Utc>),
    /// All.
    Everybody,
}

impl Shown {
    /// The condition ` AND …` on the patient that `column` names; `bind` gives the place of an argument.
    pub fn condition(self, column: &str, bind: impl FnMut(Value) -> String) -> String {
        self.unless(&format!("= {column}"), bind)
    }

    /// The same on all patients whom the subquery `patients` finds.
    pub(crate) fn condition_among(self, patients: &str, bind: impl FnMut(Value) -> String) -> String {
        self.unless(&format!("IN ({patients})"), bind)
    }

    fn unless(self, test: &str, mut bind: impl FnMut(Value) -> String) -> String {
        let unless = match self {
            Self::Everybody => return String::new(),
            Self::Unrestricted => String::new(),
            Self::OpenTo(user_id, now) => format!(
                " AND NOT EXISTS (SELECT 1 FROM break_glass_grants AS broken
                                   WHERE broken.clinic_id = veiled.clinic_id
                                     AND broken.patient_id = veiled.patient_id
                                     AND broken.user_id = {} AND broken.expires_at > {})",
                bind(user_id.into()),
                bind(now.into())
            ),
        };
        format!(
            " AND NOT EXISTS (SELECT 1 FROM patients AS veiled
                               WHERE veiled.patient_id {test} AND veiled.is_restricted{unless})"
        )
    }
}

/// Whether a reader sees one patient's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is theirs to see.
    Open,
    /// Once they have broken the glass.
    Restricted,
    /// For them it does not exist.
    Hidden,
}

impl Access {
    /// Whether `reader` sees a record that is loaded already.
    pub async fn of(
        db: &mut Conn,
        clinic: ClinicId,
        reader: &Reader,
        patient: &Patient,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        if !patient.is_restricted && patient.merged_into.is_none() {
            return Ok(Self::Open);
        }
        Self::to_patient(db, clinic, reader, patient.patient_id, now).await
    }

    /// Whether `reader` sees the record of `patient`; a merged record is as restricted as the one that stands for it.
    pub async fn to_patient(
        db: &mut Conn,
        clinic: ClinicId,
        reader: &Reader,
        patient: PatientId,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let find = "SELECT COALESCE(s.patient_id, p.patient_id) AS patient_id,
                           COALESCE(s.is_restricted, p.is_restricted) AS is_restricted
                      FROM patients AS p
                      LEFT JOIN patients AS s ON s.clinic_id = p.clinic_id AND s.patient_id = p.merged_into
                     WHERE p.clinic_id = $1 AND p.patient_id = $2";
        let found = sql(find).bind(clinic).bind(patient).fetch_optional::<Restriction>(db).await?;
        let Some(Restriction { patient_id, is_restricted }) = found else { return Ok(Self::Hidden) };
        if !is_restricted {
            return Ok(Self::Open);
        }
        if reader.own.is_some_and(|own| own == patient || own == patient_id) {
            return Ok(Self::Open);
        }
        match (reader.sight(), reader.user_id) {
            (Sight::Everything, _) => Ok(Self::Open),
            (Sight::Existence, Some(user_id)) => {
                let open = Grant::open_to(db, clinic, user_id, now).await?;
                Ok(if open.contains(&patient_id) { Self::Open } else { Self::Restricted })
            }
            _ => Ok(Self::Hidden),
        }
    }
}

struct Restriction {
    patient_id: PatientId,
    is_restricted: bool,
}

impl FromRow for Restriction {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { patient_id: row.id("patient_id")?, is_restricted: row.get("is_restricted")? })
    }
}

/// Access to one restricted record, given for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Our identifier.
    pub grant_id: GrantId,
    /// To whose record.
    pub patient_id: PatientId,
    /// Who has it.
    pub user_id: UserId,
    /// Why they needed it, in their own words.
    pub reason: String,
    /// Since when.
    pub granted_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

impl FromRow for Grant {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            grant_id: row.id("grant_id")?,
            patient_id: row.id("patient_id")?,
            user_id: row.id("user_id")?,
            reason: row.get("reason")?,
            granted_at: row.get("granted_at")?,
            expires_at: row.get("expires_at")?,
        })
    }
}

impl Grant {
    /// Opens the record of `patient` to `user`, for as long as the clinic's setting `breakGlassHours` says
    /// (1 to 24; 4 where nothing is set).
    pub async fn give(
        db: &mut Tx,
        clinic: ClinicId,
        patient: PatientId,
        user: UserId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let hours = setting(db, clinic, HOURS.0, HOURS.1, (1, 24)).await?;
        let grant = Self {
            grant_id: GrantId::new(),
            patient_id: patient,
            user_id: user,
            reason: reason.to_owned(),
            granted_at: now,
            expires_at: now + TimeDelta::hours(hours),
        };
        let insert =
            "INSERT INTO break_glass_grants (grant_id, clinic_id, patient_id, user_id, reason, granted_at,
                                                      expires_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sql(insert)
            .bind(grant.grant_id)
            .bind(clinic)
            .bind(patient)
            .bind(user)
            .bind(reason)
            .bind(now)
            .bind(grant.expires_at)
            .execute(db)
            .await?;
        Ok(grant)
    }

    /// The records that are open to `user` now.
    pub async fn open_to(
        db: &mut Conn,
        clinic: ClinicId,
        user: UserId,
        now: DateTime<Utc>,
    ) -> Result<HashSet<PatientId>> {
        let find = "SELECT patient_id FROM break_glass_grants
                     WHERE clinic_id = $1 AND user_id = $2 AND expires_at > $3";
        let open: Vec<Uuid> = sql(find).bind(clinic).bind(user).bind(now).fetch_all(db).await?;
        Ok(open.into_iter().map(PatientId).collect())
    }

    /// Every grant of the clinic, newest first, from before `after` on.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        after: Option<GrantId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let find =
            "SELECT grant_id, patient_id, user_id, reason, granted_at, expires_at FROM break_glass_grants
                     WHERE clinic_id = $1 AND grant_id < $2 ORDER BY grant_id DESC LIMIT $3";
        sql(find).bind(clinic).bind(after.unwrap_or(GrantId(Uuid::max()))).bind(limit).fetch_all(db).await
    }
}
