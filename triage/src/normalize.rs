//! Words to findings: what a presentation says, in the knowledge's terms.
//!
//! Every entry is read, and nothing that was not understood is dropped: it comes back as unmatched. What is denied is absent;
//! what a relative has is the family's history; what is told of the past is history.

mod clause;
mod conclude;
mod language;
mod measure;
mod notes;
mod person;
mod phrases;
mod scope;
mod stem;
mod taken;

use clinical::decision::{Drug, FindingState, NotChecked, Presentation, Recognised, Symptom, Vitals};
use models::{Finding, FindingIx, Knowledge};

use self::clause::{Clause, clauses};
use self::language::Language;
use self::notes::{Notes, note_topic, recognise, worse};
use self::phrases::{Context, Meaning, Phrases};
use self::scope::Begins;
use self::taken::{distance, end_of, is_measured, is_nothing, start_of, state_of};
use crate::evidence::Evidence;

/// A text of so many words tells the whole story.
const WHOLE_STORY: usize = 25;
/// The most words that come back as recognised or unmatched.
const MOST: usize = 500;

/// What was understood of a presentation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// In the knowledge's terms.
    pub evidence: Evidence,
    /// Which words were taken for what.
    pub recognised: Vec<Recognised>,
    /// What was said and not understood.
    pub unmatched: Vec<String>,
    /// What contradicts itself, and how it was taken.
    pub not_checked: Vec<NotChecked>,
    /// What was measured, with what the words say was.
    pub vitals: Vitals,
    /// Whether there is a pregnancy.
    pub pregnant: Option<bool>,
    /// Whether something was told as a complaint, or in few words, that was not understood.
    pub is_half_understood: bool,
}

impl Heard {
    /// Whether anything was told that somebody has, beyond who he is.
    pub fn has_complaint(&self, knowledge: &Knowledge) -> bool {
        let is_complaint = |(finding, state): &(FindingIx, FindingState)| {
            *state == FindingState::Present && !knowledge.findings[finding.at()].kind.is_of_the_person()
        };
        !self.evidence.named.is_empty() || self.evidence.states().iter().any(is_complaint)
    }
}

/// Where words stand in a presentation, and so how they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Story,
    Symptom(FindingState),
    Denied,
    History,
    Family,
    Social,
    Medication,
}

/// What one clause says to be there.
#[derive(Debug, Default)]
struct Said {
    /// The words of complaints, by bit.
    complaints: u128,
    /// The words of what is of the person.
    history: u128,
    /// The complaints.
    findings: Vec<FindingIx>,
}

/// Whether a part may say a finding: what is told of a relative or of the past is no finding of now.
fn is_meant(finding: &Finding, part: Part, is_of_family: bool) -> bool {
    let is_of_the_person = finding.kind.is_of_the_person();
    let is_familys = finding.id.starts_with("family-history");
    if is_of_family || part == Part::Family {
        return is_familys || is_of_the_person && !finding.id.starts_with("history-");
    }
    match part {
        Part::Denied => true,
        Part::History | Part::Social | Part::Medication => is_of_the_person && !is_familys,
        _ => !is_familys,
    }
}

/// Reads words of one language with one knowledge.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    language: Language,
    phrases: Phrases,
    family_words: Vec<u32>,
    history_words: Vec<u32>,
    medication_words: Vec<u32>,
}

impl Reader {
    pub fn of(knowledge: &Knowledge) -> Self {
        let language = Language::english();
        let phrases = Phrases::of(knowledge, &language);
        let roots = |words: &str| -> Vec<u32> {
            words.split_whitespace().filter_map(|word| phrases.root(&language.root(word))).collect()
        };
        Self {
            family_words: roots("family history father mother brother relative parents"),
            history_words: roots("history previous prior past known had"),
            medication_words: roots("use take takes taking on medicine medication treatment therapy"),
            language,
            phrases,
        }
    }

    /// What a presentation says.
    pub fn read(&self, knowledge: &Knowledge, presentation: &Presentation) -> Heard {
        let vitals = presentation.vitals.clone();
        let mut notes = Notes { vitals, shortest_days: presentation.duration, ..Notes::default() };
        let mut stories = Vec::new();
        for symptom in &presentation.symptoms {
            let (name, state) = match symptom {
                Symptom::Word(name) => (name, FindingState::Present),
                Symptom::Told { name, state, severity, duration_days, .. } => {
                    notes.severity = worse(notes.severity, *severity);
                    if let Some(days) = duration_days {
                        // What is new brings somebody, not what has been there for years.
                        notes.duration = Some(notes.duration.map_or(*days, |held| held.min(*days)));
                    }
                    notes.days_of_symptom = *duration_days;
                    (name, *state)
                }
            };
            match knowledge.finding(name.trim()) {
                Some(finding) => self.say_by_id(knowledge, finding, name, state, &mut notes),
                None => {
                    self.words(knowledge, name, Part::Symptom(state), &mut notes);
                }
            }
            notes.days_of_symptom = None;
        }
        if let Some(text) = &presentation.text {
            stories = self.words(knowledge, text, Part::Story, &mut notes);
        }
        let parts = [
            (&presentation.denies, Part::Denied),
            (&presentation.medical_history, Part::History),
            (&presentation.family_history, Part::Family),
            (&presentation.social_history, Part::Social),
        ];
        for (entries, part) in parts {
            for entry in entries {
                let state = if part == Part::Denied { FindingState::Absent } else { FindingState::Present };
                let by_id = knowledge.finding(entry.trim());
                match by_id.filter(|finding| is_meant(&knowledge.findings[finding.at()], part, false)) {
                    Some(finding) => self.say_by_id(knowledge, finding, entry, state, &mut notes),
                    None => {
                        self.words(knowledge, entry, part, &mut notes);
                    }
                }
            }
        }
        for drug in &presentation.medications {
            self.words(knowledge, Drug::name(drug), Part::Medication, &mut notes);
        }
        self.heard(knowledge, presentation, &stories, notes)
    }

    fn say_by_id(
        &self,
        knowledge: &Knowledge,
        finding: FindingIx,
        words: &str,
        state: FindingState,
        notes: &mut Notes,
    ) {
        notes.say(finding, state);
        if let Some(days) = notes.days_of_symptom {
            notes.lasts(knowledge, finding, days);
        }
        recognise(notes, words, &knowledge.findings[finding.at()].id, state);
    }

    /// Reads some words of one part; hands back its clauses.
    fn words(&self, knowledge: &Knowledge, text: &str, part: Part, notes: &mut Notes) -> Vec<Clause> {
        let all = clauses(text, &self.language);
        let is_told = matches!(part, Part::Story | Part::Symptom(_));
        let patient = if is_told { scope::told_for(&all, &self.language) } else { None };
        let mut is_understood = false;
        let mut is_open = false;
        let mut left = Vec::new();
        if !matches!(part, Part::Symptom(_) | Part::Story) {
            notes.topics.clear();
        }
        for clause in &all {
            let begins = match part {
                Part::Denied | Part::Symptom(FindingState::Absent) => Begins::Denied,
                _ if clause.is_carried_on && is_open => Begins::CarriedOn,
                _ => Begins::Plain,
            };
            let scope = scope::scope(clause, &self.language, begins, patient);
            is_open = scope.is_open;
            for (clause, is_denied, is_of_family) in scope::parts(clause, &scope) {
                let of_family = part == Part::Family || is_of_family;
                let (is_matched, unmatched) =
                    self.clause(knowledge, text, (&clause, &is_denied, of_family), part, notes);
                is_understood |= is_matched;
                left.extend(unmatched);
            }
        }
        if matches!(part, Part::Medication) || is_nothing(text) {
            return all;
        }
        if !is_understood && !matches!(part, Part::Story) {
            left = vec![text.trim().to_owned()];
        }
        let words: usize = all.iter().map(|clause| clause.tokens.len()).sum();
        let is_short = matches!(part, Part::Symptom(_)) || part == Part::Story && words < WHOLE_STORY;
        notes.is_half_understood |= is_short && !left.is_empty();
        for words in left {
            if notes.unmatched.len() < MOST && !notes.unmatched.contains(&words) {
                notes.unmatched.push(words);
            }
        }
        all
    }

    /// Reads one clause: whether anything was understood, and what was not.
    fn clause(
        &self,
        knowledge: &Knowledge,
        text: &str,
        (clause, is_denied, is_of_family): (&Clause, &[bool], bool),
        part: Part,
        notes: &mut Notes,
    ) -> (bool, Vec<String>) {
        let roots = self.roots_of(clause);
        let thought = match part {
            _ if is_of_family => self.family_words.clone(),
            Part::History => self.history_words.clone(),
            Part::Medication => self.medication_words.clone(),
            _ => Vec::new(),
        };
        let context = Context { thought, topics: notes.topics.clone() };
        let (found, covered) = self.phrases.matches(clause, &roots, &context, &self.language);
        let mut taken = 0_u128;
        let mut said = Said::default();
        for held in &found {
            let state = state_of(held, is_denied, clause, part, &self.language);
            let words = &text[start_of(clause, held.tokens)..end_of(clause, held.tokens)];
            match held.meaning {
                Meaning::Finding(finding) => {
                    let is_past = || {
                        state == FindingState::Present
                            && scope::is_long_ago(clause, held.tokens, &self.language)
                    };
                    let then = knowledge.findings[finding.at()].long_ago.filter(|_| is_past());
                    let finding = then.unwrap_or(finding);
                    let about = &knowledge.findings[finding.at()];
                    if !is_meant(about, part, is_of_family) {
                        continue;
                    }
                    taken |= held.tokens;
                    if is_measured(clause, held.tokens, &self.language) {
                        continue;
                    }
                    notes.say(finding, state);
                    recognise(notes, words, &about.id, state);
                    if state == FindingState::Present {
                        if about.kind.is_of_the_person() {
                            said.history |= held.tokens;
                        } else {
                            said.complaints |= held.tokens;
                            said.findings.push(finding);
                        }
                        note_topic(knowledge, finding, &mut notes.topics);
                    }
                }
                Meaning::Condition(condition) => {
                    let about = &knowledge.conditions[condition.at()];
                    let is_meant = !is_of_family && !matches!(part, Part::Social | Part::Medication);
                    let means_too = |wanted: fn(&Finding) -> bool| {
                        part != Part::History
                            && found.iter().filter(|it| it.tokens & held.tokens == held.tokens).any(|it| {
                                matches!(it.meaning, Meaning::Finding(at) if wanted(&knowledge.findings[at.at()]))
                            })
                    };
                    if !is_meant || means_too(|finding| !finding.kind.is_of_the_person()) {
                        continue;
                    }
                    taken |= held.tokens;
                    recognise(notes, words, &about.id, state);
                    if about.chronic && state == FindingState::Present {
                        notes.known.push(condition);
                        said.history |= held.tokens;
                    } else if part != Part::History
                        && state == FindingState::Present
                        && !means_too(|_| true)
                        && !scope::is_past(clause, held.tokens, &self.language)
                    {
                        notes.named.push(condition);
                        said.complaints |= held.tokens;
                    }
                }
            }
        }
        if !is_of_family {
            self.measure(knowledge, (clause, is_denied), &said, part, notes);
        }
        let covered = if taken == 0 { 0 } else { taken | covered };
        (taken != 0, self.left(text, clause, covered, part))
    }

    /// The roots of a clause's words; «mg» after a number is a measure and none.
    fn roots_of(&self, clause: &Clause) -> Vec<Option<u32>> {
        let mut roots: Vec<Option<u32>> = clause.tokens.iter().map(|token| self.root_of(token)).collect();
        for (at, pair) in clause.tokens.windows(2).enumerate() {
            if pair[0].number.is_some() && self.language.measures.contains(&pair[1].word) {
                roots[at + 1] = None;
            }
        }
        roots
    }

    /// The number of a word's root; of a misspelt word that of the word that was meant.
    fn root_of(&self, token: &clause::Token) -> Option<u32> {
        self.phrases.root(&token.root).or_else(|| {
            let is_common = token.is_stop
                || token.number.is_some()
                || self.language.common.contains(&token.word)
                || self.language.negators.contains(&token.word);
            if is_common { None } else { self.phrases.mended(&token.word) }
        })
    }

    fn measure(
        &self,
        knowledge: &Knowledge,
        (clause, is_denied): (&Clause, &[bool]),
        said: &Said,
        part: Part,
        notes: &mut Notes,
    ) {
        if !matches!(part, Part::Story | Part::Symptom(FindingState::Present)) {
            return;
        }
        measure::vitals(clause, &mut notes.vitals, &self.language);
        let has_complaint = said.complaints != 0;
        if has_complaint {
            notes.severity = worse(notes.severity, measure::severity(clause, is_denied, &self.language));
        }
        // «Diabetes for 20 years, slurred speech» tells for how long there has been diabetes.
        let mut told = measure::durations(clause, &self.language);
        if has_complaint {
            told.retain(|told| {
                let of_history = distance(told, said.history, clause);
                of_history
                    .is_none_or(|far| distance(told, said.complaints, clause).is_some_and(|near| near <= far))
            });
        }
        if let Some(days) = measure::duration(&told) {
            if has_complaint {
                notes.duration_of_complaint.get_or_insert(days);
            } else if said.history == 0 {
                notes.duration.get_or_insert(days);
            }
        }
        let is_only = told.len() == 1;
        for told in &told {
            let is_of_coming = measure::is_of_coming(told, clause, &self.language);
            match &*said.findings {
                [] if said.history == 0 && !is_of_coming => notes.last_all(told.days),
                findings if !is_of_coming || is_only => {
                    findings.iter().for_each(|finding| notes.lasts(knowledge, *finding, told.days));
                }
                _ => {}
            }
        }
        if let Some(days) = notes.days_of_symptom {
            said.findings.iter().for_each(|finding| notes.lasts(knowledge, *finding, days));
        }
    }

    /// Runs of words that say something and were not understood.
    fn left(&self, text: &str, clause: &Clause, taken: u128, part: Part) -> Vec<String> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        let mut is_open = false;
        for (at, token) in clause.tokens.iter().enumerate() {
            let is_taken = taken & (1 << at.min(127)) != 0;
            let says = !self.says_nothing(token, part);
            if is_taken || !says {
                is_open &= !is_taken;
                continue;
            }
            match runs.last_mut().filter(|_| is_open) {
                Some(run) => run.1 = token.end,
                None => runs.push((token.start, token.end)),
            }
            is_open = true;
        }
        runs.into_iter().map(|(start, end)| text[start..end].trim().to_owned()).collect()
    }

    fn says_nothing(&self, token: &clause::Token, part: Part) -> bool {
        let language = &self.language;
        let word = &token.word;
        let is_measure = token.number.is_some()
            || word.contains('/')
            || language.units.contains_key(word)
            || language.measures.contains(word)
            || language.numbers.contains_key(word)
            || language.alone.contains_key(word);
        let is_function = token.is_stop
            || language.negators.contains(word)
            || language.but.contains(word)
            || language.severe.contains(word)
            || language.moderate.contains(word)
            || language.mild.contains(word)
            || language.male.contains(word)
            || language.female.contains(word)
            || language.old.contains(word)
            || part == Part::Story && (language.common.contains(word) || language.relatives.contains(word))
            || part == Part::History && language.history.contains(word);
        is_measure || is_function
    }
}

#[cfg(test)]
mod tests;
