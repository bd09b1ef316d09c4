//! A set of small numbers as bits.

/// A set of small numbers: ingredients of a class, or rules of an ingredient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set(Vec<u64>);

impl Set {
    /// Whether it holds `number`.
    pub fn has(&self, number: u16) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&bits| bits == 0)
    }

    /// How many it holds.
    pub fn len(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// What both hold.
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }

    /// What either holds.
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.add_all(other);
        union
    }

    /// Its numbers, the smallest first.
    pub fn members(&self) -> impl Iterator<Item = u16> {
        self.clone().into_members()
    }

    /// Its numbers, the smallest first.
    pub fn into_members(self) -> impl Iterator<Item = u16> {
        self.0.into_iter().zip(0u16..).flat_map(|(bits, word)| {
            std::iter::successors(Some(bits), |bits| Some(bits & bits.wrapping_sub(1)))
                .take_while(|&bits| bits != 0)
                .map(move |bits| word * 64 + bits.trailing_zeros() as u16)
        })
    }

    pub(super) fn add(&mut self, number: u16) {
        let (word, bit) = place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (bits, more) in self.0.iter_mut().zip(&other.0) {
            *bits |= more;
        }
    }
}

fn place(number: u16) -> (usize, u64) {
    (usize::from(number / 64), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_it_was_given_in_order() {
        let mut set = Set::default();
        for number in [700, 3, 64, 63, 3] {
            set.add(number);
        }
        assert_eq!(set.members().collect::<Vec<_>>(), [3, 63, 64, 700]);
        assert!(set.has(63) && !set.has(62) && !set.has(9_000));
    }

    #[test]
    fn what_is_common_is_no_longer_than_the_shorter() {
        let (mut one, mut other) = (Set::default(), Set::default());
        one.add(2);
        one.add(500);
        other.add(2);
        assert_eq!(one.common(&other).members().collect::<Vec<_>>(), [2]);
        assert_eq!(other.union(&one).members().collect::<Vec<_>>(), [2, 500]);
        assert!(Set::default().common(&one).is_empty());
    }
}
