//! What is collected while one presentation is read.

use std::collections::BTreeMap;

use clinical::decision::{FindingState, Recognised, Severity, Vitals};
use models::{ConditionIx, FindingIx, Knowledge};

use super::MOST;

/// What is being collected while one presentation is read.
#[derive(Default)]
pub(super) struct Notes {
    pub states: BTreeMap<FindingIx, FindingState>,
    pub contradicted: Vec<FindingIx>,
    pub known: Vec<ConditionIx>,
    pub named: Vec<ConditionIx>,
    pub recognised: Vec<Recognised>,
    pub unmatched: Vec<String>,
    pub topics: Vec<FindingIx>,
    pub severity: Option<Severity>,
    pub duration_of_complaint: Option<f32>,
    pub duration: Option<f32>,
    /// For how long the symptom that is being read lasts, as was told beside it.
    pub days_of_symptom: Option<f32>,
    /// The shortest time that was told of all of it.
    pub shortest_days: Option<f32>,
    /// The shortest time that was told of a finding.
    pub lasting: BTreeMap<FindingIx, f32>,
    pub vitals: Vitals,
    pub is_half_understood: bool,
}

impl Notes {
    /// Says a finding's state; said both ways it is there.
    pub fn say(&mut self, finding: FindingIx, state: FindingState) {
        let held = self.states.entry(finding).or_insert(state);
        if *held == state {
            return;
        }
        match (*held, state) {
            (FindingState::Present, FindingState::Absent) | (FindingState::Absent, FindingState::Present) => {
                *held = FindingState::Present;
                if !self.contradicted.contains(&finding) {
                    self.contradicted.push(finding);
                }
            }
            (FindingState::Unknown | FindingState::NotAsked, state) => *held = state,
            _ => {}
        }
    }

    /// Says that all of it has lasted for so many days, or something of it for fewer.
    pub fn last_all(&mut self, days: f32) {
        self.shortest_days = Some(self.shortest_days.map_or(days, |held| held.min(days)));
    }

    /// Says that a finding has lasted for so many days, and so what must be there for it.
    pub fn lasts(&mut self, knowledge: &Knowledge, finding: FindingIx, days: f32) {
        let above = |at: &FindingIx| knowledge.findings[at.at()].parent;
        for finding in std::iter::successors(Some(finding), above) {
            let held = self.lasting.entry(finding).or_insert(days);
            *held = held.min(days);
        }
    }
}

/// Notes which words were taken for what.
pub(super) fn recognise(notes: &mut Notes, words: &str, id: &str, state: FindingState) {
    if notes.recognised.len() < MOST {
        notes.recognised.push(Recognised { words: words.trim().to_owned(), finding: id.to_owned(), state });
    }
}

/// The finding that the next clauses tell more of: the first and the last that has more to tell.
pub(super) fn note_topic(knowledge: &Knowledge, finding: FindingIx, topics: &mut Vec<FindingIx>) {
    let mut above = Some(finding);
    let mut topic = None;
    while let Some(finding) = above {
        if !knowledge.findings[finding.at()].children.is_empty() {
            topic = Some(finding);
        }
        above = knowledge.findings[finding.at()].parent;
    }
    if let Some(topic) = topic
        && topics.last() != Some(&topic)
    {
        topics.truncate(1);
        topics.push(topic);
    }
}

/// The worse of two.
pub(super) fn worse(a: Option<Severity>, b: Option<Severity>) -> Option<Severity> {
    let level = |severity: &Severity| *severity as u8;
    a.into_iter().chain(b).max_by_key(level)
}
