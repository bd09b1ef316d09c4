//! A person's place in one clinic: their role there.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, LocationId, MembershipId, PatientId, UserId};
use clinical::role::Role;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// What a person is in a clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Their role.
    pub role: Role,
    /// A physician's specialty.
    pub specialty: Option<String>,
    /// The place they work at.
    pub location_id: Option<LocationId>,
    /// Whose records are the person's own; of the same clinic.
    pub patient_id: Option<PatientId>,
}

impl Position {
    /// A role and no more.
    pub fn of(role: Role) -> Self {
        Self { role, specialty: None, location_id: None, patient_id: None }
    }
}

/// A stored membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Our identifier.
    pub membership_id: MembershipId,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// The person.
    pub user_id: UserId,
    /// What they are there.
    pub position: Position,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

const SELECT: &str = "SELECT membership_id, clinic_id, user_id, role, specialty, location_id, patient_id,
                             created_at FROM memberships ";

impl FromRow for Member {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            membership_id: row.id("membership_id")?,
            clinic_id: row.id("clinic_id")?,
            user_id: row.id("user_id")?,
            position: Position {
                role: row.parse("role")?,
                specialty: row.get("specialty")?,
                location_id: row.get::<Option<Uuid>>("location_id")?.map(LocationId),
                patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            },
            created_at: row.get("created_at")?,
        })
    }
}

impl Member {
    /// Makes a person a member.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when they are one already; [`DbError::NotFound`] when the clinic has no such
    /// location or patient.
    pub async fn add(
        db: &mut Tx,
        clinic: ClinicId,
        user: UserId,
        position: &Position,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        check_place(db, clinic, position).await?;
        let member = Self {
            membership_id: MembershipId::new(),
            clinic_id: clinic,
            user_id: user,
            position: position.clone(),
            created_at: now,
        };
        let insert =
            "INSERT INTO memberships (membership_id, clinic_id, user_id, role, specialty, location_id,
                                               patient_id, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (clinic_id, user_id) DO NOTHING";
        let made = sql(insert)
            .bind(member.membership_id)
            .bind(clinic)
            .bind(user)
            .bind(position.role.as_str())
            .bind(position.specialty.clone())
            .bind(position.location_id)
            .bind(position.patient_id)
            .bind(now)
            .execute(db)
            .await?;
        if made == 0 { Err(DbError::Conflict) } else { Ok(member) }
    }

    /// One member of the clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: MembershipId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND membership_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The place of a person in the clinic.
    pub async fn of(db: &mut Conn, clinic: ClinicId, user: UserId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND user_id = $2"))
            .bind(clinic)
            .bind(user)
            .fetch_one(db)
            .await
    }

    /// Every place of a person, the longest-standing first.
    pub async fn of_user(db: &mut Conn, user: UserId) -> Result<Vec<Self>> {
        built_sql(format!("{SELECT} WHERE user_id = $1 ORDER BY membership_id"))
            .bind(user)
            .fetch_all(db)
            .await
    }

    /// Makes a member something else.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such member, location or patient.
    pub async fn change(db: &mut Tx, clinic: ClinicId, id: MembershipId, position: &Position) -> Result<()> {
        check_place(db, clinic, position).await?;
        let update = "UPDATE memberships SET role = $3, specialty = $4, location_id = $5, patient_id = $6
                       WHERE clinic_id = $1 AND membership_id = $2";
        let changed = sql(update)
            .bind(clinic)
            .bind(id)
            .bind(position.role.as_str())
            .bind(position.specialty.clone())
            .bind(position.location_id)
            .bind(position.patient_id)
            .execute(db)
            .await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// Ends a membership; the person stays.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such member.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, id: MembershipId) -> Result<()> {
        let delete = "DELETE FROM memberships WHERE clinic_id = $1 AND membership_id = $2";
        let changed = sql(delete).bind(clinic).bind(id).execute(db).await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }
}

/// The place and the patient must be the clinic's own.
async fn check_place(db: &mut Tx, clinic: ClinicId, position: &Position) -> Result<()> {
    if let Some(location) = position.location_id {
        let find = "SELECT location_id FROM locations WHERE clinic_id = $1 AND location_id = $2";
        sql(find).bind(clinic).bind(location).fetch_one::<Uuid>(db).await?;
    }
    if let Some(patient) = position.patient_id {
        let find = "SELECT patient_id FROM patients WHERE clinic_id = $1 AND patient_id = $2";
        sql(find).bind(clinic).bind(patient).fetch_one::<Uuid>(db).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::roster::Rostered;
    use crate::records::user::User;
    use crate::testing::{now, on_both};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    async fn user(tx: &mut Tx, email: &str) -> UserId {
        User::create(tx, &email.parse().unwrap(), "Someone", None, now()).await.unwrap().user_id
    }

    #[tokio::test]
    async fn a_person_has_one_place_in_a_clinic() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let ada = user(&mut tx, "ada@example.org").await;
            let doctor = Position { specialty: Some("radiology".into()), ..Position::of(Role::Doctor) };
            let member = Member::add(&mut tx, CLINIC, ada, &doctor, now()).await.unwrap();
            let again = Member::add(&mut tx, CLINIC, ada, &Position::of(Role::Nurse), now()).await;
            assert!(matches!(again, Err(DbError::Conflict)));
            assert_eq!(Member::of_user(&mut tx, ada).await.unwrap(), std::slice::from_ref(&member));
            assert_eq!(Member::of(&mut tx, CLINIC, ada).await.unwrap(), member);

            let id = member.membership_id;
            Member::change(&mut tx, CLINIC, id, &Position::of(Role::Nurse)).await.unwrap();
            let nurse = Member::find(&mut tx, CLINIC, id).await.unwrap();
            assert_eq!(nurse.position, Position::of(Role::Nurse));
            assert!(matches!(Member::remove(&mut tx, ClinicId::new(), id).await, Err(DbError::NotFound)));
            Member::remove(&mut tx, CLINIC, id).await.unwrap();
            assert_eq!(Member::of_user(&mut tx, ada).await.unwrap(), []);
        })
        .await;
    }

    #[tokio::test]
    async fn a_place_or_patient_of_another_clinic_is_none() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let ada = user(&mut tx, "ada@example.org").await;
            let elsewhere = Position { location_id: Some(LocationId::new()), ..Position::of(Role::Doctor) };
            let added = Member::add(&mut tx, CLINIC, ada, &elsewhere, now()).await;
            assert!(matches!(added, Err(DbError::NotFound)));
            let stranger = Position { patient_id: Some(PatientId::new()), ..Position::of(Role::Patient) };
            let added = Member::add(&mut tx, CLINIC, ada, &stranger, now()).await;
            assert!(matches!(added, Err(DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn members_and_their_users_come_newest_first_a_page_at_a_time() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let mut all = Vec::new();
            for number in 0..5 {
                let user = user(&mut tx, &format!("u{number}@example.org")).await;
                let position = Position::of(Role::Doctor);
                all.push(Member::add(&mut tx, CLINIC, user, &position, now()).await.unwrap());
            }
            all.reverse();
            let members = |page: Vec<Rostered>| page.into_iter().map(|it| it.member).collect::<Vec<_>>();
            let first = members(Rostered::list(&mut tx, CLINIC, None, 3).await.unwrap());
            assert_eq!(first, all[..3]);
            let rest = Rostered::list(&mut tx, CLINIC, Some(first[2].membership_id.0), 3).await.unwrap();
            assert_eq!(members(rest), all[3..]);
            assert_eq!(Rostered::list(&mut tx, ClinicId::new(), None, 3).await.unwrap(), []);
            let users = User::list_in(&mut tx, CLINIC, Some(all[2].user_id.0), 9).await.unwrap();
            let ids: Vec<_> = users.iter().map(|user| user.user_id).collect();
            assert_eq!(ids, [all[3].user_id, all[4].user_id]);
            assert!(User::find_in(&mut tx, CLINIC, all[0].user_id).await.is_ok());
            assert!(User::find_in(&mut tx, ClinicId::new(), all[0].user_id).await.is_err());
        })
        .await;
    }
}
