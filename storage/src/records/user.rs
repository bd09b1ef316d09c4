//! A person who signs in, however many clinics they belong to.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, UserId};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// The longest address (RFC 5321, section 4.5.3.1.3: 256 with the brackets around it), in bytes.
const EMAIL_BYTES: usize = 254;

/// An e-mail address as it was given, trimmed and in Unicode's form NFC.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

/// A text that is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address is written name@host, in at most 254 bytes, without spaces")]
pub struct NoEmailAddress;

impl FromStr for EmailAddress {
    type Err = NoEmailAddress;

    /// Whether mail arrives there only a mail can tell: this refuses what is surely none.
    fn from_str(text: &str) -> Result<Self, NoEmailAddress> {
        // NFC is at most three times as long: what is longer than that before need not be looked at.
        if text.len() > 4 * EMAIL_BYTES {
            return Err(NoEmailAddress);
        }
        let address: String = text.trim().nfc().collect();
        let (name, host) = address.rsplit_once('@').ok_or(NoEmailAddress)?;
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>(),;:\\\"[]".contains(c);
        let is_host = !host.is_empty() && host.split('.').all(|label| !label.is_empty());
        if name.is_empty() || name.contains('@') || !is_host || address.contains(is_odd) {
            return Err(NoEmailAddress);
        }
        if address.len() > EMAIL_BYTES {
            return Err(NoEmailAddress);
        }
        Ok(Self(address))
    }
}

impl EmailAddress {
    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared: in lower case.
    pub fn key(&self) -> String {
        self.0.to_lowercase().nfc().collect()
    }
}

/// Addresses are people's: a log that prints one prints this.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

/// A stored user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Our identifier.
    pub user_id: UserId,
    /// The address as it was given.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// argon2id in PHC form; `None` until a password is set.
    pub password_hash: Option<String>,
    /// Whether they may sign in.
    pub is_active: bool,
    /// When they were made.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

const SELECT: &str =
    "SELECT u.user_id, u.email, u.name, u.password_hash, u.state, u.created_at FROM users u ";

impl FromRow for User {
    fn from_row(row: &Row) -> Result<Self> {
        let state: String = row.get("state")?;
        Ok(Self {
            user_id: row.id("user_id")?,
            email: row.get("email")?,
            name: row.get("name")?,
            password_hash: row.get("password_hash")?,
            is_active: state == "active",
            created_at: row.get("created_at")?,
        })
    }
}

impl User {
    /// A new user.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when the address is taken.
    pub async fn create(
        db: &mut Tx,
        email: &EmailAddress,
        name: &str,
        password_hash: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let user = Self {
            user_id: UserId::new(),
            email: email.as_str().to_owned(),
            name: name.to_owned(),
            password_hash: password_hash.map(str::to_owned),
            is_active: true,
            created_at: now,
        };
        let insert = "INSERT INTO users (user_id, email, email_key, name, password_hash, state, created_at)
                      VALUES ($1, $2, $3, $4, $5, 'active', $6) ON CONFLICT (email_key) DO NOTHING";
        let made = sql(insert)
            .bind(user.user_id)
            .bind(&user.email)
            .bind(email.key())
            .bind(name)
            .bind(user.password_hash.clone())
            .bind(now)
            .execute(db)
            .await?;
        if made == 0 { Err(DbError::Conflict) } else { Ok(user) }
    }

    /// One user.
    pub async fn find(db: &mut Conn, id: UserId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE u.user_id = $1")).bind(id).fetch_one(db).await
    }

    /// The user with this address, whatever its case.
    pub async fn with_email(db: &mut Conn, email: &EmailAddress) -> Result<Option<Self>> {
        built_sql(format!("{SELECT} WHERE u.email_key = $1")).bind(email.key()).fetch_optional(db).await
    }

    /// One user who belongs to the clinic.
    pub async fn find_in(db: &mut Conn, clinic: ClinicId, id: UserId) -> Result<Self> {
        let belongs = "JOIN memberships m ON m.user_id = u.user_id AND m.clinic_id = $1 WHERE u.user_id = $2";
        built_sql(format!("{SELECT} {belongs}")).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The users who belong to the clinic, newest first, from before `after` on.
    pub async fn list_in(
        db: &mut Conn,
        clinic: ClinicId,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let belongs = "JOIN memberships m ON m.user_id = u.user_id AND m.clinic_id = $1";
        let from = if after.is_some() { "WHERE m.user_id < $3" } else { "" };
        // By the membership's column, which is the one with the index that begins with the clinic.
        let text = format!("{SELECT} {belongs} {from} ORDER BY m.user_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Whether nobody is there yet.
    pub async fn is_none(db: &mut Conn) -> Result<bool> {
        let one = sql("SELECT user_id FROM users LIMIT 1").fetch_optional::<Uuid>(db).await?;
        Ok(one.is_none())
    }

    /// Whether anybody has an address at another host.
    pub async fn any_beyond(db: &mut Conn, host: &str) -> Result<bool> {
        let find = "SELECT user_id FROM users WHERE email_key NOT LIKE $1 LIMIT 1";
        Ok(sql(find).bind(format!("%@{host}")).fetch_optional::<Uuid>(db).await?.is_some())
    }

    /// Writes what to call them.
    pub async fn rename(db: &mut Tx, id: UserId, name: &str) -> Result<()> {
        let update = sql("UPDATE users SET name = $2 WHERE user_id = $1").bind(id).bind(name);
        one(update.execute(db).await?)
    }

    /// Writes another address.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when it is somebody else's.
    pub async fn change_email(db: &mut Tx, id: UserId, email: &EmailAddress) -> Result<()> {
        let update = "UPDATE users SET email = $2, email_key = $3 WHERE user_id = $1
                         AND NOT EXISTS (SELECT 1 FROM users WHERE email_key = $3 AND user_id <> $1)";
        let statement = sql(update).bind(id).bind(email.as_str()).bind(email.key());
        match statement.execute(db).await? {
            0 => Err(DbError::Conflict),
            _ => Ok(()),
        }
    }

    /// Writes another password's hash.
    pub async fn change_password(db: &mut Tx, id: UserId, hash: &str) -> Result<()> {
        let update = sql("UPDATE users SET password_hash = $2 WHERE user_id = $1").bind(id).bind(hash);
        one(update.execute(db).await?)
    }

    /// Lets them sign in.
    pub async fn enable(db: &mut Tx, id: UserId) -> Result<()> {
        one(sql("UPDATE users SET state = 'active' WHERE user_id = $1").bind(id).execute(db).await?)
    }

    /// Lets them no longer sign in; their sessions count no more.
    pub async fn disable(db: &mut Tx, id: UserId) -> Result<()> {
        one(sql("UPDATE users SET state = 'disabled' WHERE user_id = $1").bind(id).execute(db).await?)
    }
}

fn one(changed: u64) -> Result<()> {
    if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};

    fn email(text: &str) -> EmailAddress {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_compared_without_regard_to_case_form_and_surrounding_spaces() {
        assert_eq!(email(" Ada@Example.ORG ").key(), "ada@example.org");
        assert_eq!(email("e\u{301}va@example.org").key(), email("\u{c9}VA@example.org").key());
        assert_eq!(format!("{:?}", email("ada@example.org")), "EmailAddress(…)");
    }

    #[test]
    fn what_is_surely_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(250));
        for text in ["", "ada", "@example.org", "ada@", "a da@example.org", "ada@exa..mple", "a\0@b", &long] {
            assert_eq!(text.parse::<EmailAddress>(), Err(NoEmailAddress), "{text:?}");
        }
        assert!("a@b@example.org".parse::<EmailAddress>().is_err());
        assert!("a@example.org\r\nBcc: b@c".parse::<EmailAddress>().is_err());
    }

    #[tokio::test]
    async fn an_address_belongs_to_one_user() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            assert!(User::is_none(&mut tx).await.unwrap());
            let ada = User::create(&mut tx, &email("Ada@example.org"), "Ada", None, now()).await.unwrap();
            let again = User::create(&mut tx, &email("ada@EXAMPLE.org"), "Eve", None, now()).await;
            assert!(matches!(again, Err(DbError::Conflict)));
            assert!(!User::is_none(&mut tx).await.unwrap());
            assert_eq!(
                User::with_email(&mut tx, &email("ADA@example.org")).await.unwrap(),
                Some(ada.clone())
            );
            assert_eq!(User::with_email(&mut tx, &email("eve@example.org")).await.unwrap(), None);

            assert!(!User::any_beyond(&mut tx, "example.org").await.unwrap());
            assert!(User::any_beyond(&mut tx, "example.com").await.unwrap());
            let eve = User::create(&mut tx, &email("eve@example.org"), "Eve", None, now()).await.unwrap();
            let taken = User::change_email(&mut tx, eve.user_id, &email("ada@example.org")).await;
            assert!(matches!(taken, Err(DbError::Conflict)));
            User::change_email(&mut tx, eve.user_id, &email("EVE@example.org")).await.unwrap();
            User::rename(&mut tx, eve.user_id, "Eva").await.unwrap();
            User::change_password(&mut tx, eve.user_id, "$argon2id$").await.unwrap();
            User::disable(&mut tx, eve.user_id).await.unwrap();
            let found = User::find(&mut tx, eve.user_id).await.unwrap();
            assert_eq!((found.email.as_str(), found.name.as_str()), ("EVE@example.org", "Eva"));
            assert_eq!((found.password_hash.as_deref(), found.is_active), (Some("$argon2id$"), false));
            User::enable(&mut tx, eve.user_id).await.unwrap();
            assert!(User::find(&mut tx, eve.user_id).await.unwrap().is_active);
            let nobody = User::rename(&mut tx, UserId::new(), "x").await;
            assert!(matches!(nobody, Err(DbError::NotFound)));
        })
        .await;
    }
}
