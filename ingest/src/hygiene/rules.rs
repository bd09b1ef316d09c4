//! What a clinic has set about that which comes in, asked for every two seconds at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clinical::id::ClinicId;
use deidentify::Profile;
use serde_json::Value;
use storage::db::{Db, DbError};
use storage::records::clinic::{Clinic, Settings, global_settings};
use storage::records::quarantine::bytes_of;

/// So long an answer holds.
const RULES_HOLD: Duration = Duration::from_secs(2);
/// So long a sum of bytes holds, with what was let in since.
const SUM_HOLDS: Duration = Duration::from_secs(30);
/// Clinics known at a time.
const CLINICS: usize = 10_000;

/// What a clinic has set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClinicRules {
    /// Everything from a sender is de-identified before it is stored.
    pub(crate) deidentify: Option<Profile>,
    /// So many bytes it may keep; 0: without limit.
    pub(crate) quota_bytes: u64,
    /// What does not match, or cannot be told from others, is held back and not thrown away.
    pub(crate) holds_refused: bool,
}

impl ClinicRules {
    /// The clinic's own setting, else the global one, else `quota_bytes` and nothing.
    fn of(own: &Settings, global: &Settings, quota_bytes: u64) -> Result<Self, DbError> {
        let corrupt = || DbError::Corrupt("clinics.settings".to_owned());
        let value = |name: &str| own.get(name).or_else(|| global.get(name)).filter(|value| !value.is_null());
        let deidentify = value("deidentifyOnReceipt").filter(|value| *value != "off");
        let deidentify = deidentify.cloned().map(serde_json::from_value);
        Ok(Self {
            deidentify: deidentify.transpose().map_err(|_| corrupt())?,
            quota_bytes: match value("storageQuotaBytes") {
                Some(bytes) => bytes.as_u64().ok_or_else(corrupt)?,
                None => quota_bytes,
            },
            holds_refused: value("holdRefused").and_then(Value::as_bool).unwrap_or_default(),
        })
    }
}

/// When a clinic's bytes were summed up, and how many they are with what was let in since.
type Sum = tokio::sync::Mutex<Option<(Instant, u64)>>;

/// The rules of every clinic.
pub(crate) struct Rules {
    db: Db,
    quota_bytes: u64,
    known: Mutex<HashMap<ClinicId, (Instant, Arc<ClinicRules>)>>,
    sums: Mutex<HashMap<ClinicId, Arc<Sum>>>,
}

impl Rules {
    pub(crate) fn new(db: Db, quota_bytes: u64) -> Self {
        Self { db, quota_bytes, known: Mutex::default(), sums: Mutex::default() }
    }

    /// What the clinic has set; a clinic that is not known has set nothing.
    pub(crate) async fn of(&self, clinic: ClinicId) -> Result<Arc<ClinicRules>, DbError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&clinic).cloned();
        if let Some((at, rules)) = known
            && at.elapsed() < RULES_HOLD
        {
            return Ok(rules);
        }
        let at = Instant::now();
        let mut rows = self.db.read().await?;
        let own = match Clinic::find(&mut rows, clinic).await {
            Ok(clinic) => clinic.settings,
            Err(DbError::NotFound) => Settings::new(),
            Err(error) => return Err(error),
        };
        let rules = Arc::new(ClinicRules::of(&own, &global_settings(&mut rows).await?, self.quota_bytes)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CLINICS {
            known.clear();
        }
        known.insert(clinic, (at, Arc::clone(&rules)));
        Ok(rules)
    }

    /// Whether `bytes` more are within the clinic's quota, which they count against from now on.
    pub(crate) async fn has_room(&self, clinic: ClinicId, bytes: u64) -> Result<bool, DbError> {
        let quota_bytes = self.of(clinic).await?.quota_bytes;
        if quota_bytes == 0 {
            return Ok(true);
        }
        let sum = {
            let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            if sums.len() >= CLINICS {
                sums.clear();
            }
            Arc::clone(sums.entry(clinic).or_default())
        };
        // Held over the question, so that it is asked once and everybody counts on its answer.
        let mut known = sum.lock().await;
        let (at, sum) = match *known {
            Some((at, sum)) if at.elapsed() < SUM_HOLDS => (at, sum),
            _ => {
                let at = Instant::now();
                let sum = bytes_of(&mut self.db.read().await?, clinic).await?;
                (at, u64::try_from(sum).unwrap_or_default())
            }
        };
        let with_these = sum.saturating_add(bytes);
        let has_room = with_these <= quota_bytes;
        *known = Some((at, if has_room { with_these } else { sum }));
        Ok(has_room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deidentify::Dates;
    use serde_json::json;
    use storage::testing::on_both;

    #[tokio::test]
    async fn receipts_at_one_time_all_count_against_the_quota() {
        on_both(async |db| {
            let rules = Arc::new(Rules::new(db, 3_500));
            let mut receipts = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let rules = Arc::clone(&rules);
                receipts.spawn(async move { rules.has_room(ClinicId::DEFAULT, 1_000).await.unwrap() });
            }
            let let_in = receipts.join_all().await.into_iter().filter(|has_room| *has_room).count();
            assert_eq!(let_in, 3);
        })
        .await;
    }

    #[test]
    fn the_clinics_own_setting_goes_before_the_global_one() {
        let set = |value: Value| serde_json::from_value::<Settings>(value).unwrap();
        let global = set(json!({ "storageQuotaBytes": 5, "holdRefused": true }));
        let own = set(json!({ "deidentifyOnReceipt": { "dates": "modified", "options": ["uids"] } }));
        let rules = ClinicRules::of(&own, &global, 9).unwrap();
        assert_eq!((rules.quota_bytes, rules.holds_refused), (5, true));
        assert_eq!(rules.deidentify.unwrap().dates, Dates::Modified);
        assert_eq!(ClinicRules::of(&set(json!({})), &set(json!({})), 9).unwrap().quota_bytes, 9);
        let off = set(json!({ "deidentifyOnReceipt": "off", "holdRefused": false, "storageQuotaBytes": 0 }));
        let all = ClinicRules::of(&own, &global, 0).unwrap();
        assert!(all.deidentify.is_some());
        assert_eq!(ClinicRules::of(&off, &own, 9).unwrap(), ClinicRules::default(), "off is a choice too");
        for bad in [json!({ "deidentifyOnReceipt": { "keep": 1 } }), json!({ "storageQuotaBytes": -1 })] {
            assert!(ClinicRules::of(&set(bad), &global, 0).is_err(), "never silently without");
        }
    }
}
