//! The state in which each network runs: by the card, for all clinics, and for one clinic.
//!
//! Every change is a row, and undoing one is a mark on it: what runs now, what ran when, and how to go back are one list.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// The most changes that are read; more than a clinic makes in a lifetime.
const MOST: i64 = 10_000;

/// One network, with the state that its card gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName {
    /// The card's name.
    pub name: String,
    /// The card's version.
    pub version: String,
    /// The state while nobody has said otherwise.
    pub by_card: NetworkState,
}

/// One change of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was changed together has one.
    pub change_set: Uuid,
    /// The network's name.
    pub name: String,
    /// The network's version.
    pub version: String,
    /// What it became.
    pub state: NetworkState,
    /// Who changed it.
    pub changed_by: String,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// Who undid it, and when.
    pub undone: Option<(String, DateTime<Utc>)>,
}

impl FromRow for Change {
    fn from_row(row: &Row) -> Result<Self> {
        let undone_by: Option<String> = row.get("undone_by")?;
        let undone_at: Option<DateTime<Utc>> = row.get("undone_at")?;
        Ok(Self {
            change_set: row.id("change_set")?,
            name: row.get("name")?,
            version: row.get("version")?,
            state: row.parse("state")?,
            changed_by: row.get("changed_by")?,
            changed_at: row.get("changed_at")?,
            undone: undone_by.zip(undone_at),
        })
    }
}

/// The changes that count, for all clinics and for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States {
    /// Of the clinic, newest first.
    own: Vec<Change>,
    /// Of all clinics, newest first.
    everywhere: Vec<Change>,
}

impl States {
    /// What counts for a clinic, or for one that has changed nothing.
    pub async fn of(db: &mut Conn, clinic: Option<ClinicId>) -> Result<Self> {
        let own = match clinic {
            Some(_) => read(db, clinic, "undone_at IS NULL", None).await?,
            None => Vec::new(),
        };
        Ok(Self { own, everywhere: read(db, None, "undone_at IS NULL", None).await? })
    }

    /// The state of each network, in their order.
    ///
    /// The clinic's word counts more than that for all, and that more than the card's. One version of a name is
    /// active at most: that of the weightier and then newer word, of equal ones the last in the list; another
    /// that would be active is retired.
    pub fn resolve(&self, networks: &[NetworkName]) -> Vec<NetworkState> {
        let words: Vec<(NetworkState, usize)> = networks.iter().map(|network| self.word(network)).collect();
        let mut chosen: HashMap<&str, usize> = HashMap::new();
        for (index, network) in networks.iter().enumerate() {
            if words[index].0 != NetworkState::Active {
                continue;
            }
            let best = chosen.entry(&network.name).or_insert(index);
            if words[index].1 >= words[*best].1 {
                *best = index;
            }
        }
        let state = |(index, network): (usize, &NetworkName)| match words[index].0 {
            NetworkState::Active if chosen.get(network.name.as_str()) != Some(&index) => {
                NetworkState::Retired
            }
            state => state,
        };
        networks.iter().enumerate().map(state).collect()
    }

    /// What was said of a network last, and how weighty that is.
    fn word(&self, network: &NetworkName) -> (NetworkState, usize) {
        let newest = |changes: &[Change]| {
            let at = changes.iter().position(|it| it.name == network.name && it.version == network.version);
            at.map(|at| (changes[at].state, changes.len() - at))
        };
        if let Some((state, weight)) = newest(&self.own) {
            return (state, self.everywhere.len() + weight);
        }
        newest(&self.everywhere).unwrap_or((network.by_card, 0))
    }

    /// Whether a version of this name is active for a clinic: one of `own`, or one that was added and has proved itself.
    pub async fn is_active(db: &mut Conn, clinic: ClinicId, own: &[NetworkName], name: &str) -> Result<bool> {
        let mut versions: Vec<NetworkName> = own.iter().filter(|it| it.name == name).cloned().collect();
        let find = "SELECT version FROM networks WHERE name = $1 AND proved_at IS NOT NULL
                     ORDER BY network_id LIMIT $2";
        for version in sql(find).bind(name).bind(MOST).fetch_all::<String>(db).await? {
            // Whatever its card says, an added network is a draft until somebody says otherwise.
            versions.push(NetworkName { name: name.to_owned(), version, by_card: NetworkState::Draft });
        }
        Ok(Self::of(db, Some(clinic)).await?.resolve(&versions).contains(&NetworkState::Active))
    }

    /// Writes a network's new state; another version of its name that was active is retired with it.
    ///
    /// `networks` are all that there are, among them the changed one.
    pub async fn change(
        db: &mut Tx,
        clinic: Option<ClinicId>,
        networks: &[NetworkName],
        changed: (&str, &str, NetworkState),
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (name, version, state) = changed;
        let change_set = Uuid::now_v7();
        if state == NetworkState::Active {
            let before = Self::of(db, clinic).await?.resolve(networks);
            for (rival, was) in networks.iter().zip(before) {
                if rival.name == name && rival.version != version && was == NetworkState::Active {
                    let retired = (name, rival.version.as_str(), NetworkState::Retired);
                    write(db, clinic, change_set, retired, by, now).await?;
                }
            }
        }
        write(db, clinic, change_set, (name, version, state), by, now).await
    }

    /// Undoes the last change of a name that was not undone; gives what is undone.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when there is none.
    pub async fn roll_back(
        db: &mut Tx,
        clinic: Option<ClinicId>,
        name: &str,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Change>> {
        let changes = read(db, clinic, "undone_at IS NULL", Some(name)).await?;
        let last = changes.first().ok_or(DbError::NotFound)?.change_set;
        let of_clinic = if clinic.is_some() { " AND clinic_id = $4" } else { "" };
        let update = built_sql(format!(
            "UPDATE {} SET undone_by = $1, undone_at = $2
              WHERE change_set = $3 AND undone_at IS NULL{of_clinic}",
            table(clinic)
        ));
        let update = update.bind(by).bind(now).bind(last);
        let update = match clinic {
            Some(clinic) => update.bind(clinic),
            None => update,
        };
        if update.execute(db).await? == 0 {
            // Somebody else was quicker.
            return Err(DbError::NotFound);
        }
        Ok(changes.into_iter().filter(|change| change.change_set == last).collect())
    }

    /// Every change of a name, the undone ones too, newest first.
    pub async fn history(db: &mut Conn, clinic: Option<ClinicId>, name: &str) -> Result<Vec<Change>> {
        read(db, clinic, "1 = 1", Some(name)).await
    }
}

fn table(clinic: Option<ClinicId>) -> &'static str {
    if clinic.is_some() { "clinic_network_states" } else { "network_states" }
}

async fn read(
    db: &mut Conn,
    clinic: Option<ClinicId>,
    condition: &str,
    name: Option<&str>,
) -> Result<Vec<Change>> {
    let mut text = format!(
        "SELECT change_set, name, version, state, changed_by, changed_at, undone_by, undone_at FROM {}
          WHERE {condition}",
        table(clinic)
    );
    let mut place = 1;
    for (column, given) in [("clinic_id", clinic.is_some()), ("name", name.is_some())] {
        if given {
            place += 1;
            text += &format!(" AND {column} = ${place}");
        }
    }
    let mut statement = built_sql(text + " ORDER BY change_id DESC LIMIT $1").bind(MOST);
    if let Some(clinic) = clinic {
        statement = statement.bind(clinic);
    }
    if let Some(name) = name {
        statement = statement.bind(name);
    }
    statement.fetch_all(db).await
}

async fn write(
    db: &mut Tx,
    clinic: Option<ClinicId>,
    change_set: Uuid,
    (name, version, state): (&str, &str, NetworkState),
    by: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let (column, place) = if clinic.is_some() { (", clinic_id", ", $8") } else { ("", "") };
    let insert = format!(
        "INSERT INTO {} (change_id, change_set, name, version, state, changed_by, changed_at{column})
         VALUES ($1, $2, $3, $4, $5, $6, $7{place})",
        table(clinic)
    );
    let mut statement = built_sql(insert)
        .bind(Uuid::now_v7())
        .bind(change_set)
        .bind(name)
        .bind(version)
        .bind(state.as_str())
        .bind(by)
        .bind(now);
    if let Some(clinic) = clinic {
        statement = statement.bind(clinic);
    }
    statement.execute(db).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use NetworkState::{Active, Draft, Retired, Shadow};

    use super::*;
    use crate::db::Db;
    use crate::records::network::{NewNetwork, StoredNetwork};
    use crate::testing::{now, on_both};

    const OURS: Option<ClinicId> = Some(ClinicId::DEFAULT);

    fn lungs(version: &str, by_card: NetworkState) -> NetworkName {
        NetworkName { name: "lungs".to_owned(), version: version.to_owned(), by_card }
    }

    async fn states(db: &mut Conn, clinic: Option<ClinicId>, networks: &[NetworkName]) -> Vec<NetworkState> {
        States::of(db, clinic).await.unwrap().resolve(networks)
    }

    #[test]
    fn without_any_word_the_card_counts_and_the_last_of_two_active_ones() {
        let networks = [lungs("1", Active), lungs("2", Active), lungs("3", Draft)];
        assert_eq!(States::default().resolve(&networks), [Retired, Active, Draft]);
    }

    #[tokio::test]
    async fn a_newer_version_takes_over_and_a_rollback_gives_back() {
        on_both(async |db| {
            let networks = [lungs("1", Active), lungs("2", Draft)];
            let mut tx = db.begin().await.unwrap();
            States::change(&mut tx, None, &networks, ("lungs", "2", Shadow), "a", now()).await.unwrap();
            assert_eq!(states(&mut tx, OURS, &networks).await, [Active, Shadow]);
            States::change(&mut tx, None, &networks, ("lungs", "2", Active), "b", now()).await.unwrap();
            assert_eq!(states(&mut tx, OURS, &networks).await, [Retired, Active]);

            let undone = States::roll_back(&mut tx, None, "lungs", "c", now()).await.unwrap();
            assert_eq!(undone.len(), 2, "the retirement goes with the activation");
            assert_eq!(states(&mut tx, OURS, &networks).await, [Active, Shadow]);
            States::roll_back(&mut tx, None, "lungs", "c", now()).await.unwrap();
            assert_eq!(states(&mut tx, OURS, &networks).await, [Active, Draft]);
            let none_left = States::roll_back(&mut tx, None, "lungs", "c", now()).await;
            assert!(matches!(none_left, Err(DbError::NotFound)));

            let history = States::history(&mut tx, None, "lungs").await.unwrap();
            assert_eq!(history.len(), 3);
            assert!(history.iter().all(|change| change.undone == Some(("c".to_owned(), now()))));
            tx.commit().await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_clinics_own_word_counts_more_than_that_for_all() {
        on_both(async |db| {
            let networks = [lungs("1", Active), lungs("2", Draft)];
            let mut tx = db.begin().await.unwrap();
            States::change(&mut tx, OURS, &networks, ("lungs", "1", Active), "a", now()).await.unwrap();
            States::change(&mut tx, None, &networks, ("lungs", "2", Active), "b", now()).await.unwrap();
            assert_eq!(states(&mut tx, OURS, &networks).await, [Active, Retired], "one version is active");
            assert_eq!(states(&mut tx, None, &networks).await, [Retired, Active]);
            let theirs = Some(ClinicId::new());
            assert_eq!(states(&mut tx, theirs, &networks).await, [Retired, Active]);
            States::change(&mut tx, OURS, &networks, ("lungs", "2", Active), "a", now()).await.unwrap();
            assert_eq!(states(&mut tx, OURS, &networks).await, [Retired, Active]);
            States::roll_back(&mut tx, OURS, "lungs", "a", now()).await.unwrap();
            assert_eq!(states(&mut tx, OURS, &networks).await, [Active, Retired]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_name_is_active_where_a_version_of_it_is_and_an_added_one_once_somebody_says_so() {
        on_both(async |db| {
            let own = [lungs("1", Draft)];
            let mut tx = db.begin().await.unwrap();
            let new = NewNetwork {
                name: "lungs".to_owned(),
                version: "2".to_owned(),
                sha256: "ab".repeat(32),
                card: String::new(),
                reference: None,
                added_by: "test".to_owned(),
            };
            let id = StoredNetwork::add(&mut tx, &new, now()).await.unwrap();
            let networks = [lungs("1", Draft), lungs("2", Draft)];
            let is_active =
                async |tx: &mut Tx| States::is_active(tx, ClinicId::DEFAULT, &own, "lungs").await.unwrap();
            assert!(!is_active(&mut tx).await);
            States::change(&mut tx, None, &networks, ("lungs", "2", Active), "a", now()).await.unwrap();
            assert!(!is_active(&mut tx).await, "it has not proved itself");
            StoredNetwork::weights_came(&mut tx, id, 1).await.unwrap();
            StoredNetwork::judged(&mut tx, id, Ok("runs"), now()).await.unwrap();
            assert!(is_active(&mut tx).await);
            States::roll_back(&mut tx, None, "lungs", "a", now()).await.unwrap();
            assert!(!is_active(&mut tx).await);
            States::change(&mut tx, OURS, &networks, ("lungs", "1", Active), "a", now()).await.unwrap();
            assert!(is_active(&mut tx).await);
            assert!(!States::is_active(&mut tx, ClinicId::new(), &own, "lungs").await.unwrap());
        })
        .await;
    }

    /// On PostgreSQL, where transactions run beside one another; SQLite has one writer.
    #[tokio::test]
    async fn of_two_who_undo_the_same_change_one_is_told_that_it_is_done() {
        let db = Db::open(&crate::testing::fresh_postgres_url().await).await.unwrap();
        db.migrate().await.unwrap();
        for clinic in [None, OURS] {
            let mut tx = db.begin().await.unwrap();
            let change = ("lungs", "1", Active);
            States::change(&mut tx, clinic, &[lungs("1", Draft)], change, "a", now()).await.unwrap();
            tx.commit().await.unwrap();
            let mut first = db.begin().await.unwrap();
            States::roll_back(&mut first, clinic, "lungs", "b", now()).await.unwrap();
            let second = async {
                let mut tx = db.begin().await.unwrap();
                States::roll_back(&mut tx, clinic, "lungs", "c", now()).await
            };
            let mut second = std::pin::pin!(second);
            let a_while = std::time::Duration::from_millis(150);
            assert!(tokio::time::timeout(a_while, &mut second).await.is_err(), "it waits");
            first.commit().await.unwrap();
            assert!(matches!(second.await, Err(DbError::NotFound)));
            let history = States::history(&mut db.read().await.unwrap(), clinic, "lungs").await.unwrap();
            assert_eq!(history[0].undone, Some(("b".to_owned(), now())));
        }
    }
}
