//! What is known of conditions: which findings they show and how often, whom they strike, and how soon they need somebody.
//!
//! It lies in text files below `models/knowledge/` that a clinician can review (`models/knowledge/README.md`); here they are
//! read, held against each other, and turned into tables by index.

pub(crate) mod check;
mod files;
mod implied;
pub(crate) mod link;
mod written;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use clinical::decision::Urgency;
use clinical::person::Sex;
use serde::{Deserialize, Serialize};

pub(crate) use files::Files;

/// A finding's place in [`Knowledge::findings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingIx(pub u16);

/// A condition's place in [`Knowledge::conditions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionIx(pub u16);

impl FindingIx {
    /// As an index.
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

impl ConditionIx {
    /// As an index.
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// What sort of thing a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// The patient feels it.
    Symptom,
    /// Somebody sees or measures it.
    Sign,
    /// It happened, or is known of the person.
    History,
    /// A habit, an exposure, a circumstance.
    Risk,
    /// A laboratory's or an instrument's answer.
    Test,
}

impl FindingKind {
    /// Whether it changes how probable a condition is beforehand, rather than being caused by it.
    pub fn is_of_the_person(self) -> bool {
        matches!(self, Self::History | Self::Risk)
    }
}

/// The field of medicine that a condition belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is named as the field is")]
pub enum Category {
    Respiratory,
    Cardiovascular,
    Gastrointestinal,
    Neurological,
    Infectious,
    EarNoseThroat,
    Eye,
    Endocrine,
    Blood,
    RenalUrological,
    Gynaecological,
    Obstetric,
    Musculoskeletal,
    Skin,
    MentalHealth,
    InjuryPoisoning,
    Paediatric,
    Cancer,
    Immune,
    Dental,
}

/// Something that a person has or had: a symptom, a sign, a habit.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The stable id.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// What sort of thing it is.
    pub kind: FindingKind,
    /// Share of those who consult anybody who have it, whatever the cause.
    pub base: f32,
    /// How people say it, in lower case.
    pub says: Vec<String>,
    /// The question that asks for it.
    pub asks: String,
    /// What must be there first.
    pub parent: Option<FindingIx>,
    /// What it must be there for.
    pub children: Vec<FindingIx>,
    /// What it is of the person where it happened long ago.
    pub long_ago: Option<FindingIx>,
    /// Findings of one number say much the same thing.
    pub group: Option<u16>,
    /// Whom it can be asked.
    pub sex: Option<Sex>,
    /// At which ages it can be asked, in years, both ends among them.
    pub ages: Option<(f32, f32)>,
    /// What it costs to find out: 1 for a question.
    pub cost: f32,
}

/// How often a finding is there in those who have a condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// The finding.
    pub finding: FindingIx,
    /// The share, above 0 and below 1.
    pub p: f32,
    /// Where the measured figure stands, as an index of [`Knowledge::sources`]; none is an estimate.
    pub source: Option<u16>,
}

/// For how long it has usually lasted when somebody comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duration {
    /// The median in days.
    pub typical_days: f32,
    /// Two thirds lie between the median divided by it and the median times it.
    pub spread: f32,
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The stable id.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// Other names that mean it.
    pub also: Vec<String>,
    /// ICD-10-CM codes, the main one first.
    pub icd10: Vec<String>,
    /// The field of medicine.
    pub category: Category,
    /// How soon a typical case should be seen.
    pub urgency: Urgency,
    /// Whether it must not be missed.
    pub dangerous: bool,
    /// Whether it lasts, may be told as history, and then explains findings as a further cause.
    pub chronic: bool,
    /// Per 1,000 consultations.
    pub prior: f32,
    /// From which age in years on the prior is multiplied by what.
    pub age: Vec<(f32, f32)>,
    /// What the prior is multiplied by in women and in men.
    pub sex: (f32, f32),
    /// What the prior is multiplied by in winter, spring, summer and autumn, north of the tropics.
    pub season: [f32; 4],
    /// Odds ratios of findings of the person.
    pub risks: Vec<(FindingIx, f32)>,
    /// For how long it has lasted.
    pub duration: Duration,
    /// Shares of mild, moderate and severe cases.
    pub severity: [f32; 3],
    /// What it is, in a sentence.
    pub says_when: String,
    /// What to do.
    pub advice: Vec<String>,
    /// How often it shows what, by finding.
    pub findings: Vec<Likelihood>,
}

impl Condition {
    /// What the prior is multiplied by at an age in years.
    pub fn age_factor(&self, years: f32) -> f32 {
        self.age.iter().rev().find(|(from, _)| years >= *from).map_or(1.0, |(_, factor)| *factor)
    }

    /// The figure for a finding, if there is one.
    pub fn likelihood(&self, finding: FindingIx) -> Option<&Likelihood> {
        let at = self.findings.binary_search_by_key(&finding, |likelihood| likelihood.finding).ok()?;
        Some(&self.findings[at])
    }
}

/// Where a measured figure stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The stable id.
    pub id: String,
    /// Authors, title, journal, year.
    pub says: String,
    /// `doi:…`, `pmid:…` or `isbn:…`.
    pub reference: String,
}

/// A rule that some findings together need somebody at once.
#[derive(Debug, Clone, PartialEq)]
pub struct RedFlag {
    /// The stable id.
    pub id: String,
    /// How soon.
    pub urgency: Urgency,
    /// Why, in a sentence.
    pub says: String,
    /// All of these must be there.
    pub all: Vec<FindingIx>,
    /// So many of [`Self::any`] must be there.
    pub at_least: u8,
    /// Of these, [`Self::at_least`].
    pub any: Vec<FindingIx>,
    /// None of these may be there.
    pub none: Vec<FindingIx>,
    /// Not all of these may be there together.
    pub unless: Vec<FindingIx>,
    /// At which ages in years, both ends among them.
    pub ages: Option<(f32, f32)>,
    /// For how many days it has lasted, both ends among them; where that was not told it is new.
    pub days: Option<(f32, f32)>,
    /// For whom.
    pub sex: Option<Sex>,
    /// In a pregnancy, or outside of one.
    pub pregnant: Option<bool>,
    /// Where the rule stands, as an index of [`Knowledge::sources`].
    pub source: Option<u16>,
}

/// All that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Knowledge {
    /// Findings, by id.
    pub findings: Vec<Finding>,
    /// Conditions, by id.
    pub conditions: Vec<Condition>,
    /// Sources, by id.
    pub sources: Vec<Source>,
    /// Rules of urgency, by id.
    pub red_flags: Vec<RedFlag>,
    finding_of: HashMap<String, FindingIx>,
    condition_of: HashMap<String, ConditionIx>,
    version: String,
}

/// Why knowledge cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is too large, or there are too many.
    #[error("{path} is larger than knowledge is, or one file too many")]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// A file is not written as it must be.
    #[error("{file}: {error}")]
    Written {
        /// Which.
        file: String,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// Entries contradict a rule or each other; every fault is named.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

/// What is wrong with one entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {entry}: {mend}")]
pub struct Fault {
    /// The file, as it is named below `knowledge/`.
    pub file: String,
    /// The entry's id.
    pub entry: String,
    /// What to mend.
    pub mend: String,
}

impl Knowledge {
    /// What is in the program.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`]; a test holds that there is none.
    pub fn built_in() -> Result<Self, KnowledgeError> {
        Self::of(&Files::in_the_box())
    }

    /// What lies in a folder that has the folders `findings`, `conditions`, `sources` and `rules`.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`] that says what to mend.
    pub fn open(folder: &Path) -> Result<Self, KnowledgeError> {
        Self::of(&Files::of(folder)?)
    }

    /// What stands in texts, by the names of their files.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`] that says what to mend.
    pub fn from_texts(texts: &[(&str, &str)]) -> Result<Self, KnowledgeError> {
        Self::of(&Files::from_texts(texts))
    }

    /// A finding by its id.
    pub fn finding(&self, id: &str) -> Option<FindingIx> {
        self.finding_of.get(id).copied()
    }

    /// A condition by its id.
    pub fn condition(&self, id: &str) -> Option<ConditionIx> {
        self.condition_of.get(id).copied()
    }

    /// SHA-256 of the files, in hexadecimal.
    pub fn version(&self) -> &str {
        &self.version
    }
}
