//! What is forwarded to which peer; [`on_the_way`] holds what waits and what has arrived.

pub mod on_the_way;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, ForwardRuleId, PeerId};
use uuid::Uuid;

use crate::db::{Conn, Db, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// So many rules of a clinic count; more are refused.
pub const MOST_PER_CLINIC: i64 = 1000;
/// So long an answer of [`Rules`] may lag behind the database.
const LAG: Duration = Duration::from_secs(5);
/// So many clinics' rules are remembered.
const CLINICS: usize = 4096;

/// What a rule says. `None` means: whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFacts {
    /// Where to.
    pub peer_id: PeerId,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// The title of the sender, for what came over DIMSE.
    pub calling_ae: Option<AeTitle>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Whether the peer is asked for storage commitment afterwards.
    pub wants_commitment: bool,
    /// Whether it counts.
    pub is_enabled: bool,
}

/// A stored rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardRule {
    /// Our identifier.
    pub rule_id: ForwardRuleId,
    /// What it says.
    pub facts: RuleFacts,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

const SELECT: &str = "SELECT rule_id, peer_id, modality, calling_ae, body_part, wants_commitment, is_enabled,
                             created_at FROM forward_rules ";

impl FromRow for ForwardRule {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { rule_id: row.id("rule_id")?, facts: facts_of(row)?, created_at: row.get("created_at")? })
    }
}

fn facts_of(row: &Row) -> Result<RuleFacts> {
    let calling_ae: Option<String> = row.get("calling_ae")?;
    let calling_ae = calling_ae.map(|text| text.parse()).transpose();
    Ok(RuleFacts {
        peer_id: row.id("peer_id")?,
        modality: row.get("modality")?,
        calling_ae: calling_ae.map_err(|_| DbError::Corrupt("forward_rules.calling_ae".to_owned()))?,
        body_part: row.get("body_part")?,
        wants_commitment: row.get("wants_commitment")?,
        is_enabled: row.get("is_enabled")?,
    })
}

impl ForwardRule {
    /// A new rule.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such peer, [`DbError::Conflict`] when it has
    /// [`MOST_PER_CLINIC`] rules.
    pub async fn create(db: &mut Tx, clinic: ClinicId, facts: RuleFacts, now: DateTime<Utc>) -> Result<Self> {
        let count = "SELECT count(*) FROM forward_rules WHERE clinic_id = $1";
        if sql(count).bind(clinic).fetch_one::<i64>(db).await? >= MOST_PER_CLINIC {
            return Err(DbError::Conflict);
        }
        let insert =
            "INSERT INTO forward_rules (rule_id, clinic_id, peer_id, modality, calling_ae, body_part,
                                                 wants_commitment, is_enabled, created_at)
                      SELECT $1, clinic_id, peer_id, $2, $3, $4, $5, $6, $7 FROM dicom_peers
                       WHERE clinic_id = $8 AND peer_id = $9";
        let rule = Self { rule_id: ForwardRuleId::new(), facts, created_at: now };
        let made = sql(insert)
            .bind(rule.rule_id)
            .bind(rule.facts.modality.clone())
            .bind(rule.facts.calling_ae.clone().map(String::from))
            .bind(rule.facts.body_part.clone())
            .bind(rule.facts.wants_commitment)
            .bind(rule.facts.is_enabled)
            .bind(now)
            .bind(clinic)
            .bind(rule.facts.peer_id)
            .execute(db)
            .await?;
        if made == 0 { Err(DbError::NotFound) } else { Ok(rule) }
    }

    /// One rule of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: ForwardRuleId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND rule_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The clinic's rules, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, clinic: ClinicId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "AND rule_id < $3" } else { "" };
        let text = format!("{SELECT} WHERE clinic_id = $1 {from} ORDER BY rule_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Writes what a rule says now.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such rule, or no such peer.
    pub async fn change(db: &mut Tx, clinic: ClinicId, id: ForwardRuleId, facts: &RuleFacts) -> Result<()> {
        let update = "UPDATE forward_rules
                         SET peer_id = $3, modality = $4, calling_ae = $5, body_part = $6, wants_commitment = $7,
                             is_enabled = $8
                       WHERE clinic_id = $1 AND rule_id = $2
                         AND EXISTS (SELECT 1 FROM dicom_peers WHERE clinic_id = $1 AND peer_id = $3)";
        let changed = sql(update)
            .bind(clinic)
            .bind(id)
            .bind(facts.peer_id)
            .bind(facts.modality.clone())
            .bind(facts.calling_ae.clone().map(String::from))
            .bind(facts.body_part.clone())
            .bind(facts.wants_commitment)
            .bind(facts.is_enabled)
            .execute(db)
            .await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// Removes a rule; what waits by it is sent all the same.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such rule.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, id: ForwardRuleId) -> Result<()> {
        let delete =
            sql("DELETE FROM forward_rules WHERE clinic_id = $1 AND rule_id = $2").bind(clinic).bind(id);
        if delete.execute(db).await? == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }
}

/// What is known of an instance that has come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'a> {
    /// Modality (0008,0060).
    pub modality: Option<&'a str>,
    /// The title of its sender, where it came over DIMSE.
    pub calling_ae: Option<&'a AeTitle>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<&'a str>,
}

/// A peer to which something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The peer.
    pub peer_id: PeerId,
    /// Whether it is asked for storage commitment.
    pub wants_commitment: bool,
}

/// An enabled rule with the title of its peer.
#[derive(Debug)]
struct Enabled {
    facts: RuleFacts,
    peer_title: AeTitle,
}

impl FromRow for Enabled {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { facts: facts_of(row)?, peer_title: row.parse("peer_title")? })
    }
}

impl Enabled {
    /// Whether it sends such an instance; nothing goes back to whom it came from.
    fn sends(&self, seen: Seen<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: Option<&str>| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| found.is_some_and(|it| it.trim().eq_ignore_ascii_case(wanted)))
        };
        fits(&self.facts.modality, seen.modality)
            && fits(&self.facts.body_part, seen.body_part)
            && (self.facts.calling_ae.is_none() || self.facts.calling_ae.as_ref() == seen.calling_ae)
            && seen.calling_ae != Some(&self.peer_title)
    }
}

/// When they were asked for, and the rules.
type Known = (Instant, Arc<[Enabled]>);

/// The enabled rules of every clinic, each asked for every five seconds at most; cheap to clone.
#[derive(Clone)]
pub struct Rules {
    db: Db,
    known: Arc<Mutex<HashMap<ClinicId, Known>>>,
}

impl Rules {
    /// Asks `db`, as the system.
    pub fn new(db: Db) -> Self {
        Self { db, known: Arc::default() }
    }

    /// Where such an instance goes, each peer once. A new rule counts after five seconds at the latest.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database does not answer.
    pub async fn destinations(&self, clinic: ClinicId, seen: Seen<'_>) -> Result<Vec<Destination>> {
        let mut found: Vec<Destination> = Vec::new();
        for rule in self.of(clinic).await?.iter().filter(|rule| rule.sends(seen)) {
            let RuleFacts { peer_id, wants_commitment, .. } = rule.facts;
            match found.iter_mut().find(|it| it.peer_id == peer_id) {
                Some(known) => known.wants_commitment |= wants_commitment,
                None => found.push(Destination { peer_id, wants_commitment }),
            }
        }
        Ok(found)
    }

    async fn of(&self, clinic: ClinicId) -> Result<Arc<[Enabled]>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&clinic).cloned();
        if let Some((at, rules)) = known
            && at.elapsed() < LAG
        {
            return Ok(rules);
        }
        let at = Instant::now();
        let select =
            "SELECT forward_rules.peer_id, modality, calling_ae, body_part, wants_commitment, is_enabled,
                             dicom_peers.ae_title AS peer_title
                        FROM forward_rules JOIN dicom_peers ON dicom_peers.peer_id = forward_rules.peer_id
                       WHERE forward_rules.clinic_id = $1 AND is_enabled
                       ORDER BY rule_id LIMIT $2";
        let rules: Vec<Enabled> =
            sql(select).bind(clinic).bind(MOST_PER_CLINIC).fetch_all(&mut self.db.read().await?).await?;
        let rules: Arc<[Enabled]> = rules.into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CLINICS {
            known.clear();
        }
        known.insert(clinic, (at, Arc::clone(&rules)));
        Ok(rules)
    }
}

#[cfg(test)]
mod tests;
