//! What is known of one patient, in the knowledge's own terms.

use std::collections::BTreeMap;

use clinical::decision::{FindingState, Severity};
use clinical::person::Sex;
use models::{ConditionIx, FindingIx};

/// A season, as the knowledge's factors are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// December to February in the north.
    Winter,
    /// March to May in the north.
    Spring,
    /// June to August in the north.
    Summer,
    /// September to November in the north.
    Autumn,
}

impl Season {
    /// The season of a month (1 to 12) in a region; none in the tropics or where the month is none.
    ///
    /// Where the region is not told, the north is meant: nine in ten people live there.
    pub fn of(month: Option<u8>, region: Option<&str>) -> Option<Self> {
        let shift = match region {
            Some("tropics") => return None,
            Some("temperate-south") => 6,
            _ => 0,
        };
        let month = month.filter(|month| (1..=12).contains(month))?;
        Some(match (month + shift) % 12 {
            0..=2 => Self::Winter,
            3..=5 => Self::Spring,
            6..=8 => Self::Summer,
            _ => Self::Autumn,
        })
    }
}

/// What is known of one patient.
///
/// A finding that is not among the states was not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    pub(crate) states: Vec<(FindingIx, FindingState)>,
    /// Age in years.
    pub age: Option<f32>,
    /// Sex.
    pub sex: Sex,
    /// Season of the year.
    pub season: Option<Season>,
    /// How bad all of it is.
    pub severity: Option<Severity>,
    /// For how many days, as the ranking takes it: what was told of all of it, else of a complaint.
    pub duration_days: Option<f32>,
    /// The shortest time in days that was told of all of it.
    pub shortest_days: Option<f32>,
    /// The shortest time in days that was told of a finding, or of what it must be there for.
    pub lasting: BTreeMap<FindingIx, f32>,
    /// Chronic conditions that the patient is known to have: further causes of what is found.
    pub known: Vec<ConditionIx>,
    /// What the patient calls it, where that is the name of a condition: «a sprained ankle», «the flu».
    pub named: Vec<ConditionIx>,
    /// Whether the whole story was told, so that what usually goes with a condition and was not mentioned speaks a little
    /// against it ([`crate::rank::SILENCE`]).
    pub is_whole_story: bool,
    /// Whether it can be nothing but what is known: a benchmark has no patients of any other condition.
    pub is_closed: bool,
}

impl Evidence {
    /// Sets a finding's state; the last word counts.
    pub fn say(&mut self, finding: FindingIx, state: FindingState) {
        match self.states.binary_search_by_key(&finding, |(said, _)| *said) {
            Ok(at) => self.states[at].1 = state,
            Err(at) => self.states.insert(at, (finding, state)),
        }
    }

    /// A finding's state.
    pub fn state(&self, finding: FindingIx) -> FindingState {
        let at = self.states.binary_search_by_key(&finding, |(said, _)| *said);
        at.map_or(FindingState::NotAsked, |at| self.states[at].1)
    }

    /// Every finding that has a state, in the order of the knowledge.
    pub fn states(&self) -> &[(FindingIx, FindingState)] {
        &self.states
    }

    /// Whether a finding is there.
    pub fn has(&self, finding: FindingIx) -> bool {
        self.state(finding) == FindingState::Present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn january_is_winter_in_the_north_summer_in_the_south_and_nothing_in_the_tropics() {
        assert_eq!(Season::of(Some(1), None), Some(Season::Winter));
        assert_eq!(Season::of(Some(12), Some("temperate-north")), Some(Season::Winter));
        assert_eq!(Season::of(Some(1), Some("temperate-south")), Some(Season::Summer));
        assert_eq!(Season::of(Some(1), Some("tropics")), None);
        assert_eq!(Season::of(Some(13), None), None);
    }

    #[test]
    fn the_last_word_about_a_finding_counts() {
        let mut evidence = Evidence::default();
        evidence.say(FindingIx(7), FindingState::Absent);
        evidence.say(FindingIx(3), FindingState::Present);
        evidence.say(FindingIx(7), FindingState::Present);
        assert!(evidence.has(FindingIx(7)));
        assert_eq!(evidence.states().len(), 2);
        assert_eq!(evidence.state(FindingIx(9)), FindingState::NotAsked);
    }
}
