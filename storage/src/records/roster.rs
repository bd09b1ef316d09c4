//! The members of a clinic with their names.

use clinical::id::{ClinicId, MembershipId};
use uuid::Uuid;

use super::member::Member;
use crate::db::{Conn, FromRow, Result, Row, built_sql};

/// A member, and who they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Rostered {
    /// Their place in the clinic.
    pub member: Member,
    /// Their address.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// Whether they may sign in.
    pub is_active: bool,
}

/// Names are people's: a log that prints a member prints this.
impl std::fmt::Debug for Rostered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.member.fmt(f)
    }
}

const SELECT: &str = "SELECT m.membership_id, m.clinic_id, m.user_id, m.role, m.specialty, m.location_id,
                             m.patient_id, m.created_at, u.email, u.name, u.state
                        FROM memberships m JOIN users u ON u.user_id = m.user_id WHERE m.clinic_id = $1 ";

impl FromRow for Rostered {
    fn from_row(row: &Row) -> Result<Self> {
        let state: String = row.get("state")?;
        Ok(Self {
            member: Member::from_row(row)?,
            email: row.get("email")?,
            name: row.get("name")?,
            is_active: state == "active",
        })
    }
}

impl Rostered {
    /// One member of the clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: MembershipId) -> Result<Self> {
        built_sql(format!("{SELECT} AND m.membership_id = $2")).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's members, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, clinic: ClinicId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "AND m.membership_id < $3" } else { "" };
        let text = format!("{SELECT} {from} ORDER BY m.membership_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::member::Position;
    use crate::records::user::User;
    use crate::testing::{now, on_both};
    use clinical::role::Role;

    #[tokio::test]
    async fn members_are_shown_with_their_names_in_their_clinic_alone() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let mut ids = Vec::new();
            for name in ["Ada", "Eve"] {
                let email = format!("{name}@example.org").parse().unwrap();
                let user = User::create(&mut tx, &email, name, None, now()).await.unwrap();
                let position = Position::of(Role::Nurse);
                let member = Member::add(&mut tx, clinic, user.user_id, &position, now()).await.unwrap();
                ids.push(member.membership_id);
            }
            let all = Rostered::list(&mut tx, clinic, None, 10).await.unwrap();
            assert_eq!(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["Eve", "Ada"]);
            assert_eq!(Rostered::list(&mut tx, clinic, Some(ids[1].0), 10).await.unwrap(), all[1..]);
            assert_eq!(Rostered::find(&mut tx, clinic, ids[0]).await.unwrap(), all[1]);
            assert!(Rostered::find(&mut tx, ClinicId::new(), ids[0]).await.is_err());
            assert!(!format!("{:?}", all[0]).contains("Eve"), "a log names nobody");
        })
        .await;
    }
}
