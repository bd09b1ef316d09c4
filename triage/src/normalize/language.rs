//! The words of one language that carry no complaint but turn one round, measure it, or mean the same as another.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::stem::stem;

/// English.
const ENGLISH: &str = include_str!("../../language/en.toml");

/// How a language's table is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    stop: String,
    articles: String,
    generic: String,
    soft: String,
    measures: String,
    negators: String,
    normal: String,
    but: String,
    restarts: String,
    not_of_the_complaint: String,
    after: String,
    relatives: String,
    relatives_have: String,
    relatives_tell: String,
    history: String,
    not_now: String,
    now: String,
    comes: String,
    severe: String,
    moderate: String,
    mild: String,
    same: Vec<String>,
    pairs: Vec<(String, String)>,
    splits: Vec<(String, String)>,
    joins: String,
    moves: String,
    durations: WrittenDurations,
    people: WrittenPeople,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDurations {
    units: Vec<(String, f32)>,
    numbers: Vec<(String, f32)>,
    before: String,
    after: String,
    ago: String,
    alone: Vec<(String, f32)>,
    not_of_the_illness: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPeople {
    female: String,
    male: String,
    old: String,
    newborn: String,
    gestation: String,
    common: String,
}

type Words = HashSet<String>;

/// The words of one language, by what they do.
#[derive(Debug, Clone)]
pub(super) struct Language {
    pub stop: Words,
    pub articles: Words,
    /// Roots that are no complaint alone.
    pub generic: Words,
    pub soft: Words,
    pub measures: Words,
    pub negators: Words,
    pub normal: Words,
    pub but: Words,
    pub restarts: Words,
    pub not_of_the_complaint: Words,
    pub after: Words,
    pub relatives: Words,
    pub relatives_have: Words,
    pub relatives_tell: Words,
    pub history: Words,
    /// Beside the name of a condition they say that it is not what is there now.
    pub not_now: Words,
    /// What follows them is of now.
    pub now: Words,
    /// Beside a day they say that somebody came on it.
    pub comes: Words,
    /// Behind a time they say that it is past.
    pub ago: Words,
    pub severe: Words,
    pub moderate: Words,
    pub mild: Words,
    pub joins: Words,
    pub moves: Words,
    pub common: Words,
    pub female: Words,
    pub male: Words,
    pub old: Words,
    pub newborn: Words,
    pub gestation: Words,
    pub units: HashMap<String, f32>,
    pub numbers: HashMap<String, f32>,
    pub before_duration: Words,
    pub after_duration: Words,
    pub alone: HashMap<String, f32>,
    pub not_of_the_illness: Words,
    /// Stem of a word to the stem that stands for it.
    same: HashMap<String, String>,
    same_word: HashMap<String, String>,
    /// Two words, or one, that stand for others.
    pub pairs: HashMap<(String, String), Vec<String>>,
    pub splits: HashMap<String, Vec<String>>,
}

fn words(text: &str) -> Words {
    text.split_whitespace().map(str::to_owned).collect()
}

impl Language {
    pub fn english() -> Self {
        Self::of(ENGLISH).expect("the table of the box is read by a test")
    }

    fn of(text: &str) -> Result<Self, toml::de::Error> {
        let written: Written = toml::from_str(text)?;
        let mut same = HashMap::new();
        let mut same_word = HashMap::new();
        for line in &written.same {
            let Some(first) = line.split_whitespace().next() else { continue };
            for word in line.split_whitespace() {
                same_word.entry(word.to_owned()).or_insert_with(|| stem(first));
                let stem_of_word = stem(word);
                if stem_of_word.len() > 3 {
                    same.entry(stem_of_word).or_insert_with(|| stem(first));
                }
            }
        }
        let root = |word: &str| same_word.get(word).cloned().unwrap_or_else(|| stem(word));
        let generic = written.generic.split_whitespace().map(root).collect();
        let several = |text: &String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let pair = |(two, one): &(String, String)| {
            let (a, b) = two.split_once(' ')?;
            Some(((a.to_owned(), b.to_owned()), several(one)))
        };
        let WrittenDurations { units, numbers, before, after, ago, alone, not_of_the_illness } =
            written.durations;
        Ok(Self {
            stop: words(&written.stop),
            articles: words(&written.articles),
            generic,
            soft: words(&written.soft),
            measures: words(&written.measures),
            negators: words(&written.negators),
            normal: words(&written.normal),
            but: words(&written.but),
            restarts: words(&written.restarts),
            not_of_the_complaint: words(&written.not_of_the_complaint),
            after: words(&written.after),
            relatives: words(&written.relatives),
            relatives_have: words(&written.relatives_have),
            relatives_tell: words(&written.relatives_tell),
            history: words(&written.history),
            not_now: words(&written.not_now),
            now: words(&written.now),
            comes: words(&written.comes),
            ago: words(&ago),
            severe: words(&written.severe),
            moderate: words(&written.moderate),
            mild: words(&written.mild),
            joins: words(&written.joins),
            moves: words(&written.moves),
            common: words(&written.people.common),
            female: words(&written.people.female),
            male: words(&written.people.male),
            old: words(&written.people.old),
            newborn: words(&written.people.newborn),
            gestation: words(&written.people.gestation),
            units: units.into_iter().collect(),
            numbers: numbers.into_iter().collect(),
            before_duration: words(&before),
            after_duration: words(&after),
            alone: alone.into_iter().collect(),
            not_of_the_illness: words(&not_of_the_illness),
            pairs: written.pairs.iter().filter_map(pair).collect(),
            splits: written.splits.iter().map(|(one, many)| (one.clone(), several(many))).collect(),
            same,
            same_word,
        })
    }

    /// Whether a word is among those for one thing.
    pub fn is_listed(&self, word: &str) -> bool {
        self.same_word.contains_key(word)
    }

    /// The stem that stands for a word.
    pub fn root(&self, word: &str) -> String {
        if let Some(root) = self.same_word.get(word) {
            return root.clone();
        }
        let stem = stem(word);
        self.same.get(&stem).cloned().unwrap_or(stem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_english_is_read_and_words_for_one_thing_have_one_root() {
        let english = Language::of(ENGLISH).unwrap_or_else(|error| panic!("{error}"));
        for (one, other) in
            [("aching", "pain"), ("tummy", "abdominal"), ("can't", "unable"), ("teeth", "tooth")]
        {
            assert_eq!(english.root(&one.replace('\'', "")), english.root(other), "{one} {other}");
        }
        assert_ne!(english.root("nausea"), english.root("vomiting"));
    }
}
