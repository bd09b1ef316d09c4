//! Every phrase of the knowledge by its words, and which of them a clause holds.

use std::collections::{HashMap, HashSet};

use models::{ConditionIx, FindingIx, Knowledge};

use super::clause::{Clause, Token, clauses};
use super::language::Language;
use super::stem::slips;

/// What a phrase means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Meaning {
    Finding(FindingIx),
    Condition(ConditionIx),
}

#[derive(Debug, Clone)]
struct Phrase {
    /// Its words without those that say nothing, in order, each once.
    roots: Vec<u32>,
    meaning: Meaning,
    /// How frequent the condition is that it names: of two with one name the more frequent is meant. A finding goes before both.
    prior: f32,
    /// The phrase tells more of this finding, which must have been told before.
    topic: Option<FindingIx>,
    /// How many words it has that say nothing of their own, and were left out.
    left_out: u16,
    /// Whether its words must follow each other as they stand: numbers, a «no», and the names of conditions.
    is_strict: bool,
    /// Whether it has an «or» itself.
    has_or: bool,
    /// A phrase of one word: how it is written; «burning» is no «burn».
    alone: Option<String>,
    /// A phrase with a «no»: its words as they are written; «not responded» is no «not responding».
    forms: Vec<String>,
}

/// A phrase that a clause holds.
#[derive(Debug, Clone)]
pub(super) struct Match {
    pub meaning: Meaning,
    prior: f32,
    /// Which tokens it took, by bit.
    pub tokens: u128,
    /// How many words it took.
    words: usize,
    /// Whether they stood in the phrase's order.
    is_in_order: bool,
    span: u16,
    is_of_topic: bool,
    left_out: u16,
}

/// Words that may be thought before or behind a clause without standing there, and the finding that is being told of.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    pub thought: Vec<u32>,
    pub topics: Vec<FindingIx>,
}

/// All phrases.
#[derive(Debug, Clone)]
pub(super) struct Phrases {
    root_of: HashMap<String, u32>,
    phrases: Vec<Phrase>,
    /// Phrases by their rarest word.
    by_rarest: Vec<Vec<u32>>,
    /// In how many phrases a word stands.
    frequency: Vec<u32>,
    /// Roots that are no complaint alone.
    generic: HashSet<u32>,
    /// Words as they are written, by first letter and length, for misspelt ones.
    spelt: HashMap<(u8, usize), Vec<(String, u32)>>,
}

impl Phrases {
    pub fn of(knowledge: &Knowledge, language: &Language) -> Self {
        let mut all = Self {
            root_of: HashMap::new(),
            phrases: Vec::new(),
            by_rarest: Vec::new(),
            frequency: Vec::new(),
            generic: HashSet::new(),
            spelt: HashMap::new(),
        };
        for root in &language.generic {
            let new = u32::try_from(all.root_of.len()).expect("fewer words than four thousand million");
            all.generic.insert(*all.root_of.entry(root.clone()).or_insert(new));
        }
        for (at, finding) in knowledge.findings.iter().enumerate() {
            let meaning =
                Meaning::Finding(FindingIx(u16::try_from(at).expect("findings are indexed by u16")));
            for words in finding.says.iter().chain([&finding.name]) {
                all.add(words, (meaning, f32::INFINITY), language);
            }
        }
        let of_findings = all.phrases.len();
        for (at, condition) in knowledge.conditions.iter().enumerate() {
            let meaning =
                Meaning::Condition(ConditionIx(u16::try_from(at).expect("conditions are indexed by u16")));
            for words in condition.also.iter().chain([&condition.name]) {
                all.add(words, (meaning, condition.prior), language);
            }
        }
        all.add_what_tells_more(knowledge, of_findings);
        all.index();
        all
    }

    fn add(&mut self, words: &str, (meaning, prior): (Meaning, f32), language: &Language) {
        let mut roots = Vec::new();
        let (mut whole, mut common, mut forms) = (Vec::new(), Vec::new(), Vec::new());
        let mut left_out = 0_u16;
        let (mut has_number, mut has_or, mut has_no) = (false, false, false);
        for token in clauses(words, language).iter().flat_map(|clause| &clause.tokens) {
            let new = u32::try_from(self.root_of.len()).expect("fewer words than four thousand million");
            let root = *self.root_of.entry(token.root.clone()).or_insert(new);
            let key = (token.word.as_bytes()[0], token.word.len());
            let spelt = self.spelt.entry(key).or_default();
            if !spelt.iter().any(|(word, _)| *word == token.word) {
                spelt.push((token.word.clone(), root));
            }
            has_number |= token.number.is_some() || token.word.len() == 1;
            has_or |= token.word == "or";
            has_no |= language.negators.contains(&token.word);
            if !token.is_stop && language.common.contains(&token.word) {
                common.push(root);
            }
            let is_article = token.is_stop && language.articles.contains(&token.word);
            if !is_article && !whole.contains(&root) {
                whole.push(root);
            }
            if token.is_stop {
                left_out += 1;
            } else if !roots.contains(&root) {
                forms.push(token.word.clone());
                roots.push(root);
            }
        }
        let is_generic = |root: &u32| self.generic.contains(root) || common.contains(root);
        // «Symptoms went away» is more than «went» and «away».
        let says_little =
            roots.len() < 2 && roots.iter().all(is_generic) || roots.iter().all(|root| common.contains(root));
        if says_little {
            roots = whole;
        }
        let alone = match clauses(words, language).as_slice() {
            [clause] if roots.len() == 1 => {
                let said = clause.tokens.iter().find(|token| self.root_of.get(&token.root) == roots.first());
                said.filter(|token| !language.is_listed(&token.word)).map(|token| token.word.clone())
            }
            _ => None,
        };
        let says_nothing = roots.is_empty() || roots.len() == 1 && roots.iter().all(is_generic);
        if !says_nothing {
            let is_strict = has_number || has_no || matches!(meaning, Meaning::Condition(_));
            self.phrases.push(Phrase {
                roots,
                meaning,
                prior,
                topic: None,
                left_out,
                is_strict,
                has_or,
                alone,
                forms: if has_no { forms } else { Vec::new() },
            });
        }
    }

    /// «Worse lying down» tells more of a chest pain that was told before: a child's phrase without its parent's words.
    fn add_what_tells_more(&mut self, knowledge: &Knowledge, of_findings: usize) {
        let mut core: HashMap<FindingIx, HashSet<u32>> = HashMap::new();
        for phrase in &self.phrases[..of_findings] {
            if let Meaning::Finding(finding) = phrase.meaning
                && phrase.roots.len() <= 2
                && !knowledge.findings[finding.at()].children.is_empty()
            {
                core.entry(finding).or_default().extend(&phrase.roots);
            }
        }
        let mut more = Vec::new();
        for phrase in &self.phrases[..of_findings] {
            let Meaning::Finding(finding) = phrase.meaning else { continue };
            let Some(parent) = knowledge.findings[finding.at()].parent else { continue };
            let mut above = Some(parent);
            while let Some(topic) = above {
                if let Some(words) = core.get(&topic) {
                    let roots: Vec<u32> =
                        phrase.roots.iter().copied().filter(|root| !words.contains(root)).collect();
                    if roots.len() >= 2 && roots.len() < phrase.roots.len() {
                        more.push(Phrase {
                            roots,
                            meaning: phrase.meaning,
                            prior: phrase.prior,
                            topic: Some(topic),
                            left_out: 0,
                            is_strict: false,
                            has_or: phrase.has_or,
                            alone: None,
                            forms: Vec::new(),
                        });
                    }
                }
                above = knowledge.findings[topic.at()].parent;
            }
        }
        self.phrases.extend(more);
    }

    fn index(&mut self) {
        self.frequency = vec![0; self.root_of.len()];
        for root in self.phrases.iter().flat_map(|phrase| &phrase.roots) {
            self.frequency[*root as usize] += 1;
        }
        self.by_rarest = vec![Vec::new(); self.root_of.len()];
        for (at, phrase) in self.phrases.iter().enumerate() {
            let rarest = phrase.roots.iter().min_by_key(|root| (self.frequency[**root as usize], **root));
            if let Some(rarest) = rarest {
                self.by_rarest[*rarest as usize].push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    /// The number of a word's root, if any phrase has it.
    pub fn root(&self, root: &str) -> Option<u32> {
        self.root_of.get(root).copied()
    }

    /// The root that a misspelt word was meant for: one slip from five letters on, two from nine; the first letter is right.
    pub fn mended(&self, word: &str) -> Option<u32> {
        let most = match word.len() {
            0..=4 => return None,
            5..=9 => 1,
            _ => 2,
        };
        if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        let lengths = word.len() - most..=word.len() + most;
        let near = lengths.filter_map(|length| self.spelt.get(&(word.as_bytes()[0], length))).flatten();
        let mut best: Option<(usize, u32, &str, u32)> = None;
        for (spelt, root) in near {
            let Some(slips) = slips(word, spelt, most).filter(|slips| {
                spelt.len() >= 5 && (*slips < 2 || spelt.as_bytes()[..3] == word.as_bytes()[..3])
            }) else {
                continue;
            };
            let found = (slips, u32::MAX - self.frequency[*root as usize], spelt.as_str(), *root);
            if best.is_none_or(|best| found < best) {
                best = Some(found);
            }
        }
        best.map(|(_, _, _, root)| root)
    }

    /// Every phrase that a clause holds, and the tokens that were understood; a phrase within a longer one is left out.
    ///
    /// `roots` are the numbers of the clause's tokens.
    pub fn matches(
        &self,
        clause: &Clause,
        roots: &[Option<u32>],
        context: &Context,
        language: &Language,
    ) -> (Vec<Match>, u128) {
        let mut present: Vec<u32> = roots.iter().flatten().copied().collect();
        present.extend(&context.thought);
        present.sort_unstable();
        present.dedup();
        let mut found = Vec::new();
        for root in &present {
            for at in &self.by_rarest[*root as usize] {
                let phrase = &self.phrases[*at as usize];
                if phrase.topic.is_none_or(|topic| context.topics.contains(&topic))
                    && phrase.roots.iter().all(|root| present.binary_search(root).is_ok())
                    && let Some(found_here) = place(phrase, clause, roots, &context.thought, language)
                {
                    found.push(found_here);
                }
            }
        }
        choose(found)
    }
}

/// The longest first; what lies within a longer one, or means the same tokens, is left out. With it all tokens that were
/// understood.
fn choose(mut found: Vec<Match>) -> (Vec<Match>, u128) {
    found.sort_by(|a, b| {
        let of = |m: &Match| (m.words, m.is_in_order && !m.is_of_topic);
        of(b)
            .cmp(&of(a))
            .then(a.left_out.cmp(&b.left_out))
            .then(a.span.cmp(&b.span))
            .then(b.prior.total_cmp(&a.prior))
            .then(a.meaning.cmp(&b.meaning))
    });
    let mut chosen: Vec<Match> = Vec::new();
    let mut covered = 0;
    for candidate in found {
        let is_held = chosen.iter().any(|held| {
            let is_within = held.tokens & candidate.tokens == candidate.tokens;
            let is_same = held.tokens == candidate.tokens;
            let is_other_kind = matches!(held.meaning, Meaning::Finding(_))
                != matches!(candidate.meaning, Meaning::Finding(_));
            is_within && !(is_same && is_other_kind) || held.meaning == candidate.meaning
        });
        if !is_held {
            covered |= candidate.tokens;
            chosen.push(candidate);
        } else if chosen.iter().any(|held| held.meaning == candidate.meaning) {
            covered |= candidate.tokens;
        }
    }
    (chosen, covered)
}

/// Where in a clause a phrase's words stand near enough to each other.
fn place(
    phrase: &Phrase,
    clause: &Clause,
    roots: &[Option<u32>],
    thought: &[u32],
    language: &Language,
) -> Option<Match> {
    let said = |root: &u32| roots.contains(&Some(*root));
    let mut real: Vec<u32> =
        phrase.roots.iter().copied().filter(|root| said(root) && !thought.contains(root)).collect();
    if real.is_empty() {
        real = phrase.roots.iter().copied().filter(said).collect();
    }
    let anchor_root = *real.first()?;
    let mut best: Option<Match> = None;
    for (anchor, _) in roots.iter().enumerate().filter(|(_, root)| **root == Some(anchor_root)) {
        let places: Vec<usize> = real
            .iter()
            .filter_map(|wanted| {
                let of = roots.iter().enumerate().filter(|(_, root)| **root == Some(*wanted));
                of.map(|(at, _)| at).min_by_key(|at| (at.abs_diff(anchor), *at < anchor))
            })
            .collect();
        let Some(found) = fits(phrase, &places, clause, language) else { continue };
        if best.as_ref().is_none_or(|best| found.span < best.span) {
            best = Some(found);
        }
    }
    best
}

fn fits(phrase: &Phrase, places: &[usize], clause: &Clause, language: &Language) -> Option<Match> {
    let (first, last) = (*places.iter().min()?, *places.iter().max()?);
    let tokens = &clause.tokens;
    let between = &tokens[first..=last];
    let is_a_list = places.len() == 2 && places.is_sorted();
    if !phrase.has_or && !is_a_list && between.iter().any(|token| token.word == "or") {
        return None;
    }
    let commas = tokens[last].commas - tokens[first].commas - stray_commas(between);
    let span = tokens[last].position - tokens[first].position + 1;
    let words = places.len();
    let is_in_order = places.is_sorted();
    let is_other = |at: &usize| {
        let token = &tokens[*at];
        let is_soft = words == 2 && language.soft.contains(&token.word);
        !(is_soft || token.is_stop || places.contains(at))
    };
    let others = (first..=last).filter(is_other).count();
    let is_near = match words {
        1 => phrase.alone.as_ref().is_none_or(|alone| {
            let token = &tokens[first];
            let is_misspelt = language.root(alone) != token.root;
            let adds = |long: &str, short: &str, ends: &[&str]| {
                ends.iter().any(|end| long.ends_with(end) && !short.ends_with(end))
            };
            is_misspelt || !adds(&token.word, alone, &["ing", "ly"]) && !adds(alone, &token.word, &["ed"])
        }),
        _ if phrase.is_strict => {
            let as_written = |place: &usize| phrase.forms.contains(&tokens[*place].word);
            let is_written = phrase.forms.is_empty() || places.iter().all(as_written);
            is_in_order && is_written && others == 0 && commas == 0
        }
        2 => {
            let inner = &between[1..between.len().saturating_sub(1).max(1)];
            let is_moved = inner.iter().any(|token| language.moves.contains(&token.word));
            let is_denied = inner.iter().any(|token| language.negators.contains(&token.word));
            let is_joined = inner.iter().any(|token| language.joins.contains(&token.word));
            // «Sore throat and a swollen lip» is no swollen throat.
            let is_another = inner.windows(2).any(|pair| {
                matches!(pair[0].word.as_str(), "and" | "or") && language.articles.contains(&pair[1].word)
            });
            let is_allowed = if is_in_order { others <= 1 } else { is_joined && others <= 2 };
            commas == 0 && !is_moved && !is_denied && !is_another && is_allowed
        }
        // «Chest pain, cough» is a list of two, and no pain on coughing.
        3 => others + 2 * usize::from(commas) <= 2 && !(commas > 0 && is_in_order),
        _ => others + 2 * usize::from(commas) <= 4,
    };
    let is_of_topic = phrase.topic.is_some();
    (is_near && !(is_of_topic && commas > 1)).then(|| Match {
        meaning: phrase.meaning,
        prior: phrase.prior,
        tokens: places.iter().fold(0, |tokens, place| tokens | 1 << place.min(&127)),
        words,
        is_in_order,
        span: span + 2 * commas,
        is_of_topic,
        left_out: phrase.left_out,
    })
}

/// Commas where no clause ends: «shortness of, breath».
fn stray_commas(between: &[Token]) -> u16 {
    between
        .windows(2)
        .map(|pair| {
            (pair[1].commas - pair[0].commas)
                * u16::from(pair[0].is_stop && pair[0].word.len() > 1 && pair[0].word != "and")
        })
        .sum()
}
