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
