//! What was found out about tokens a moment ago, in bounded memory.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use clinical::id::{SessionId, UserId};

use super::{Principal, RECHECK, Who};

/// So many tokens are remembered; of more, those asked for least are looked at again.
const TOKENS: usize = 100_000;
/// So many sessions and keys.
const SUBJECTS: usize = 50_000;

/// For whom a token speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Session(SessionId),
    /// The key's own digest.
    Key([u8; 32]),
}

/// A token whose signature was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub subject: Subject,
    /// Whom it names.
    pub user: Option<UserId>,
    /// When it ends; a key's end is its row's.
    pub until: Option<DateTime<Utc>>,
}

impl Seen {
    /// Whether the session is that of the person whom the token names.
    pub fn is_of(&self, principal: &Principal) -> bool {
        match principal.who {
            Who::User { user_id, .. } => self.user == Some(user_id),
            Who::Administrator | Who::Key { .. } => self.user.is_none(),
        }
    }
}

#[derive(Clone)]
struct Known {
    principal: Arc<Principal>,
    /// When a key ends.
    until: Option<DateTime<Utc>>,
    looked_up: Instant,
}

/// By a token's SHA-256 for whom it speaks, and by that who it is.
pub(super) struct Cache {
    tokens: quick_cache::sync::Cache<[u8; 32], Seen>,
    subjects: quick_cache::sync::Cache<Subject, Known>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            tokens: quick_cache::sync::Cache::new(TOKENS),
            subjects: quick_cache::sync::Cache::new(SUBJECTS),
        }
    }
}

impl Cache {
    pub fn seen(&self, digest: &[u8; 32]) -> Option<Seen> {
        self.tokens.get(digest)
    }

    /// Only what was let in is remembered: a flood of bad tokens pushes no good one out.
    pub fn keep_seen(&self, digest: [u8; 32], seen: Seen) {
        if self.tokens.peek(&digest) != Some(seen) {
            self.tokens.insert(digest, seen);
        }
    }

    /// Who it is, as of less than [`RECHECK`] ago.
    pub fn principal(&self, subject: &Subject, now: DateTime<Utc>) -> Option<Arc<Principal>> {
        let known = self.subjects.get(subject)?;
        let is_fresh = known.looked_up.elapsed() < RECHECK && known.until.is_none_or(|until| now < until);
        is_fresh.then_some(known.principal)
    }

    pub fn keep(&self, subject: Subject, principal: Arc<Principal>, until: Option<DateTime<Utc>>) {
        self.subjects.insert(subject, Known { principal, until, looked_up: Instant::now() });
    }

    pub fn forget(&self, subject: &Subject) {
        self.subjects.remove(subject);
    }

    pub fn forget_those(&self, is_meant: impl Fn(Who) -> bool) {
        self.subjects.retain(|_, known| !is_meant(known.principal.who));
    }
}
