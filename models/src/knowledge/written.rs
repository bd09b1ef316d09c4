//! How findings, conditions, sources and rules stand in their files.

use std::collections::BTreeMap;

use clinical::decision::Urgency;
use clinical::person::Sex;
use serde::Deserialize;

use super::{Category, FindingKind};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenFinding {
    pub name: String,
    pub kind: FindingKind,
    pub base: f32,
    pub says: Vec<String>,
    pub asks: String,
    pub parent: Option<String>,
    pub long_ago: Option<String>,
    pub group: Option<String>,
    pub sex: Option<Sex>,
    pub ages: Option<(f32, f32)>,
    pub cost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCondition {
    pub name: String,
    pub also: Vec<String>,
    pub icd10: Vec<String>,
    pub category: Category,
    pub urgency: Urgency,
    #[serde(default)]
    pub dangerous: bool,
    #[serde(default)]
    pub chronic: bool,
    pub prior: f32,
    #[serde(default)]
    pub age: BTreeMap<String, f32>,
    #[serde(default)]
    pub sex: WrittenSex,
    #[serde(default)]
    pub season: WrittenSeason,
    #[serde(default)]
    pub risks: BTreeMap<String, f32>,
    pub duration: WrittenDuration,
    pub severity: [f32; 3],
    pub says_when: String,
    pub advice: Vec<String>,
    pub findings: BTreeMap<String, WrittenLikelihood>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSex {
    pub female: f32,
    pub male: f32,
}

impl Default for WrittenSex {
    fn default() -> Self {
        Self { female: 1.0, male: 1.0 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSeason {
    pub winter: f32,
    pub spring: f32,
    pub summer: f32,
    pub autumn: f32,
}

impl Default for WrittenSeason {
    fn default() -> Self {
        Self { winter: 1.0, spring: 1.0, summer: 1.0, autumn: 1.0 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenDuration {
    pub typical_days: f32,
    pub spread: f32,
}

/// A bare number is an estimate; a measured one names its source.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum WrittenLikelihood {
    Estimated(f32),
    Measured { p: f32, source: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRedFlag {
    pub urgency: Urgency,
    pub says: String,
    #[serde(default)]
    pub all: Vec<String>,
    #[serde(default)]
    pub any: Vec<String>,
    pub at_least: Option<u8>,
    #[serde(default)]
    pub none: Vec<String>,
    #[serde(default)]
    pub unless: Vec<String>,
    pub ages: Option<(f32, f32)>,
    pub days: Option<(f32, f32)>,
    pub sex: Option<Sex>,
    pub pregnant: Option<bool>,
    pub source: Option<String>,
}
