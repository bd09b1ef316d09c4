//! What was collected of one presentation becomes evidence.

use clinical::decision::{FindingState, NotChecked, Presentation};
use clinical::person::Sex;
use models::Knowledge;

use super::clause::Clause;
use super::notes::Notes;
use super::taken::{is_possible, leave};
use super::{Heard, Reader, WHOLE_STORY, person};
use crate::evidence::{Evidence, Season};

impl Reader {
    /// What was heard, with what follows from age, sex, measurements and a pregnancy.
    pub(super) fn heard(
        &self,
        knowledge: &Knowledge,
        presentation: &Presentation,
        story: &[Clause],
        mut notes: Notes,
    ) -> Heard {
        let age = presentation.age.or_else(|| person::age(story, &self.language));
        let sex = match presentation.sex {
            Sex::Unknown => person::sex(story, &self.language),
            told => told,
        };
        crate::vitals::say_findings(knowledge, &notes.vitals, age, |finding, state| {
            if notes.states.get(&finding) != Some(&FindingState::Present) {
                notes.states.insert(finding, state);
            }
        });
        let weeks = presentation.gestation_weeks.or_else(|| person::gestation_weeks(story, &self.language));
        let pregnant = self.pregnancy(knowledge, presentation, weeks, &mut notes);
        let words: usize = story.iter().map(|clause| clause.tokens.len()).sum();
        let season = Season::of(presentation.month, presentation.region.as_deref());
        let mut evidence = Evidence {
            age,
            sex,
            season,
            severity: presentation.severity.or(notes.severity),
            duration_days: presentation.duration.or(notes.duration_of_complaint).or(notes.duration),
            shortest_days: notes.shortest_days,
            lasting: std::mem::take(&mut notes.lasting),
            known: std::mem::take(&mut notes.known),
            named: std::mem::take(&mut notes.named),
            is_whole_story: words >= WHOLE_STORY,
            ..Evidence::default()
        };
        for conditions in [&mut evidence.known, &mut evidence.named] {
            conditions.sort();
            conditions.dedup();
        }
        if presentation.region.as_deref() == Some("tropics")
            && let Some(tropics) = knowledge.finding("recent-travel-tropics")
        {
            notes.states.entry(tropics).or_insert(FindingState::Present);
        }
        for (finding, state) in &notes.states {
            if is_possible(&knowledge.findings[finding.at()], &evidence) {
                evidence.say(*finding, *state);
            } else if *state == FindingState::Present {
                leave(&knowledge.findings[finding.at()].id, &mut notes.recognised, &mut notes.unmatched);
            }
        }
        let not_checked = notes
            .contradicted
            .iter()
            .map(|finding| NotChecked {
                what: knowledge.findings[finding.at()].id.clone(),
                why: "it is said to be there and not to be there; it was taken as there".to_owned(),
            })
            .collect();
        Heard {
            evidence,
            recognised: notes.recognised,
            unmatched: notes.unmatched,
            not_checked,
            vitals: notes.vitals,
            pregnant,
            is_half_understood: notes.is_half_understood,
        }
    }

    fn pregnancy(
        &self,
        knowledge: &Knowledge,
        presentation: &Presentation,
        weeks: Option<f32>,
        notes: &mut Notes,
    ) -> Option<bool> {
        let told = presentation.pregnant.or(weeks.map(|_| true));
        let say = |id: &str, state: FindingState, notes: &mut Notes| {
            if let Some(finding) = knowledge.finding(id) {
                notes.say(finding, state);
            }
        };
        match told {
            Some(true) => say("pregnancy", FindingState::Present, notes),
            Some(false) => say("pregnancy", FindingState::Absent, notes),
            None => {}
        }
        if let Some(weeks) = weeks {
            say(
                if weeks >= 20.0 { "late-pregnancy" } else { "early-pregnancy" },
                FindingState::Present,
                notes,
            );
            let before_term = if weeks < 37.0 { FindingState::Present } else { FindingState::Absent };
            say("before-term", before_term, notes);
        }
        if presentation.breastfeeding == Some(true) {
            say("breastfeeding", FindingState::Present, notes);
        }
        let is_said =
            |id: &str| knowledge.finding(id).and_then(|finding| notes.states.get(&finding)).copied();
        let words = ["pregnancy", "early-pregnancy", "late-pregnancy", "twin-pregnancy", "first-pregnancy"];
        told.or_else(|| {
            let is_there = words.iter().any(|id| is_said(id) == Some(FindingState::Present));
            let is_not = is_said("pregnancy") == Some(FindingState::Absent);
            if is_there { Some(true) } else { is_not.then_some(false) }
        })
    }
}
