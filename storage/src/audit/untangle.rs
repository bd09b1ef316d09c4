//! What became of rows whose hashes do not fit: changed where they stand, or moved.

use std::collections::{HashMap, HashSet};

use crate::audit::chain::{Hash, Link};
use crate::audit::verify::Damage;

/// So many rows are compared with one another at most: each with each is a hash.
pub(super) const MOST_COMPARED: usize = 64;

/// A row whose hash is not what the row and the hash before it give.
pub(super) struct Odd {
    pub(super) seq: i64,
    pub(super) link: Link,
    /// The hash that stands at the row before it.
    pub(super) before: Hash,
    /// The hash that stands at it.
    pub(super) hash: Hash,
}

/// Names the damage: a row that fits behind another hash that stands here was moved, one that fits nowhere was
/// changed; one that stands where it belongs and only follows a moved one is whole.
pub(super) fn untangle(odd: &[Odd]) -> Vec<Damage> {
    let fits: Vec<_> = odd.iter().map(|row| fit(row, odd)).collect();
    let mut places: HashMap<Hash, i64> = HashMap::new();
    for row in odd {
        // The row before an odd one is whole when it is not odd itself, and then its hash stands in its place.
        if !odd.iter().any(|other| other.seq == row.seq - 1) {
            places.insert(row.before, row.seq - 1);
        }
    }
    for _ in odd {
        for (before, after) in fits.iter().flatten() {
            if let Some(place) = places.get(before).copied() {
                places.entry(*after).or_insert(place + 1);
            }
        }
    }
    let named = odd.iter().zip(fits).filter_map(|(row, fit)| {
        let (seq, audit_id) = (row.seq, row.link.audit_id);
        let Some((_, after)) = fit else { return Some(Damage::Changed { seq, audit_id }) };
        let belongs_at = places.get(&after).copied();
        let is_whole = belongs_at == Some(seq) && after == row.hash;
        (!is_whole).then_some(Damage::Moved { seq, audit_id, belongs_at })
    });
    named.collect()
}

/// The hash behind which the row was sealed, and its own, if both still stand among `odd`.
fn fit(row: &Odd, odd: &[Odd]) -> Option<(Hash, Hash)> {
    let known: HashSet<Hash> = odd.iter().map(|row| row.hash).collect();
    let befores = odd.iter().flat_map(|row| [row.before, row.hash]);
    befores.map(|before| (before, row.link.behind(before))).find(|(_, after)| known.contains(after))
}
