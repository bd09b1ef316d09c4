//! Answers that were given within the last half hour, to give them again to the byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

/// How long an answer is given again.
const KEPT: TimeDelta = TimeDelta::minutes(30);
/// So many bytes of answers are kept at most.
const MOST_BYTES: u64 = 64 << 20;
/// About how many answers that is.
const ABOUT: usize = 8_192;

/// An answer as it was given.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The JSON text.
    pub text: Arc<str>,
    /// The level of urgency.
    pub urgency: &'static str,
    made_at: DateTime<Utc>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<[u8; 32], Answer> for ByBytes {
    fn weight(&self, _: &[u8; 32], answer: &Answer) -> u64 {
        answer.text.len() as u64 + 128
    }
}

/// Answers by the SHA-256 of what was asked and of the knowledge's version; whoever asks the same gets the same, and no
/// words of a patient are kept but those that the answer repeats.
pub struct AnswerCache {
    answers: Cache<[u8; 32], Answer, ByBytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for AnswerCache {
    fn default() -> Self {
        let answers = Cache::with_weighter(ABOUT, MOST_BYTES, ByBytes);
        Self { answers, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

impl AnswerCache {
    /// The answer of `kind` to `asked`, remembered or made, and whether it was remembered.
    pub(crate) fn answer(
        &self,
        kind: &str,
        asked: &str,
        version: &str,
        now: DateTime<Utc>,
        make: impl FnOnce() -> (String, &'static str),
    ) -> (Answer, bool) {
        let mut hash = Sha256::new();
        for part in [kind, version, asked] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let key: [u8; 32] = hash.finalize().into();
        let is_fresh = |answer: &Answer| now - answer.made_at < KEPT && answer.made_at <= now;
        if let Some(answer) = self.answers.get(&key).filter(is_fresh) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return (answer, true);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (text, urgency) = make();
        let answer = Answer { text: text.into(), urgency, made_at: now };
        self.answers.insert(key, answer.clone());
        (answer, false)
    }

    /// Gives the numbers to whoever counts them.
    pub(crate) fn publish(&self) {
        metrics::describe_counter!("triage_cache_hits_total", "Answers that were remembered");
        metrics::describe_counter!("triage_cache_misses_total", "Answers that were made");
        metrics::describe_gauge!("triage_cache_hit_ratio", "Share of the answers that were remembered");
        metrics::describe_gauge!("triage_cache_bytes", "Bytes of remembered answers");
        let (hits, misses) = (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed));
        metrics::counter!("triage_cache_hits_total").absolute(hits);
        metrics::counter!("triage_cache_misses_total").absolute(misses);
        metrics::gauge!("triage_cache_hit_ratio").set(hits as f64 / (hits + misses).max(1) as f64);
        metrics::gauge!("triage_cache_bytes").set(self.answers.weight() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn ask(cache: &AnswerCache, asked: &str, version: &str, now: DateTime<Utc>) -> (String, bool) {
        let (answer, was_remembered) =
            cache.answer("assessment", asked, version, now, || (format!("{now}"), "consultation"));
        (answer.text.to_string(), was_remembered)
    }

    /// The clinic application's own bound: 30 minutes.
    #[test]
    fn an_answer_is_given_again_for_half_an_hour_and_for_one_knowledge() {
        let cache = AnswerCache::default();
        let first = ask(&cache, "cough", "1", at(0));
        assert!(!first.1);
        assert_eq!(ask(&cache, "cough", "1", at(29)), (first.0.clone(), true));
        assert!(!ask(&cache, "cough", "1", at(30)).1);
        assert!(!ask(&cache, "cough", "2", at(30)).1);
        assert!(!ask(&cache, "coughs", "1", at(30)).1);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let cache = AnswerCache::default();
        for number in 0..300 {
            let asked = number.to_string();
            cache.answer("assessment", &asked, "1", at(0), || ("x".repeat(1 << 20), "self-care"));
        }
        assert!(cache.answers.weight() <= MOST_BYTES, "{}", cache.answers.weight());
    }
}
