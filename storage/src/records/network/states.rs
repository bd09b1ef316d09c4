//! The state in which each network runs: by the card, for all clinics, and for one clinic.
//!
//! Every change is a row, and undoing one is a mark on it: what runs now, what ran when, and how to go back are one list.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql};

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
        let update =
            format!("UPDATE {} SET undone_by = $1, undone_at = $2 WHERE change_set = $3", table(clinic));
        built_sql(update).bind(by).bind(now).bind(last).execute(db).await?;
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
}
