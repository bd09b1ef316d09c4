//! The public benchmark DDXPlus (Fansi Tchango et al., NeurIPS 2022, CC BY 4.0): its published conditions, evidences and
//! presence rates become knowledge, for evaluation alone; its patients, or ones simulated from the rates, are asked.
//!
//! An evidence counts by its code: `E_55_@_V_89` is `E_55`, for the rates know no more. Every condition has a figure for
//! every evidence: of those that are listed for it `(n · rate + 0.5) / (n + 1)` with its `n` patients, of all others one in
//! ten thousand, because the generator never gives them.

mod patients;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use clinical::decision::FindingState;
use clinical::person::Sex;
use models::{ConditionIx, FindingIx, Knowledge};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::interval::Random;
use super::{CUT, EvaluateError, LONGEST, Outcome, Ranked, SURE};
use crate::{Engine, Evidence};

/// What a condition shows that its list does not name: never, as far as anything is.
const NEVER: f64 = 1e-4;
/// So many conditions of a differential are written down.
const WRITTEN_DOWN: usize = 10;

/// The files of the benchmark, by their published names.
pub const FILES: [&str; 3] =
    ["release_conditions.json", "release_evidences.json", "presence_rates_validate_30000.json"];

#[derive(Debug, Deserialize)]
struct WrittenCondition {
    condition_name: String,
    #[serde(rename = "cond-name-fr")]
    french: String,
    #[serde(rename = "cond-name-eng")]
    english: String,
    #[serde(rename = "icd10-id")]
    icd10: String,
    symptoms: BTreeMap<String, serde::de::IgnoredAny>,
    antecedents: BTreeMap<String, serde::de::IgnoredAny>,
    severity: u8,
}

#[derive(Debug, Deserialize)]
struct WrittenEvidence {
    question_en: String,
    #[serde(default)]
    is_antecedent: bool,
    #[serde(default)]
    data_type: String,
}

#[derive(Debug, Deserialize)]
struct WrittenRates {
    num_rows: f64,
    pathology_case_counts: BTreeMap<String, f64>,
    pathology_root_rates: BTreeMap<String, BTreeMap<String, f64>>,
    global_root_rates: BTreeMap<String, f64>,
}

/// The benchmark's world.
pub struct DdxPlus {
    knowledge: Knowledge,
    /// Conditions by each of their names.
    names: HashMap<String, ConditionIx>,
    /// Share of the patients, and of those each evidence, by condition.
    rates: Vec<(f64, Vec<(FindingIx, f64)>)>,
    /// Whether a patient may come with an evidence: symptoms that are there or not.
    begins: Vec<bool>,
}

/// One patient.
#[derive(Debug, Clone, PartialEq)]
pub struct Patient {
    /// Age in years.
    pub age: Option<f32>,
    /// Sex.
    pub sex: Sex,
    /// What it is.
    pub diagnosis: ConditionIx,
    /// What is there.
    pub evidences: Vec<FindingIx>,
    /// What the patient comes with.
    pub initial: Option<FindingIx>,
    /// The given differential.
    pub differential: Vec<(ConditionIx, f32)>,
}

/// How a patient is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Question by question, from the initial evidence on.
    Asked,
    /// With all evidences at once.
    AllAtOnce,
}

impl DdxPlus {
    /// From the texts of [`FILES`], in their order.
    ///
    /// # Errors
    ///
    /// [`EvaluateError::File`] for one that does not read, or names what another does not have.
    pub fn of(texts: [&str; 3]) -> Result<Self, EvaluateError> {
        let conditions: BTreeMap<String, WrittenCondition> = read(FILES[0], texts[0])?;
        let evidences: BTreeMap<String, WrittenEvidence> = read(FILES[1], texts[1])?;
        let rates: WrittenRates = read(FILES[2], texts[2])?;
        let findings = written_findings(&evidences, &rates);
        let written = written_conditions(&conditions, &evidences, &rates)?;
        let knowledge = Knowledge::from_texts(&[
            ("findings/ddxplus.toml", findings.as_str()),
            ("conditions/ddxplus.toml", written.as_str()),
        ])?;
        let mut names = HashMap::new();
        let mut by_condition = vec![(0.0, Vec::new()); knowledge.conditions.len()];
        for (key, condition) in &conditions {
            let wrong = || missing(FILES[0], key);
            let at = knowledge.condition(&id_of(key)).ok_or_else(wrong)?;
            for name in [key, &condition.condition_name, &condition.french, &condition.english] {
                names.insert(name.trim().to_lowercase(), at);
            }
            let cases = rates.pathology_case_counts.get(key).copied().unwrap_or(0.0);
            let of = rates.pathology_root_rates.get(key).ok_or_else(|| missing(FILES[2], key))?;
            let shown = of.iter().filter(|(_, rate)| **rate > 0.0);
            let shown = shown.filter_map(|(code, rate)| Some((knowledge.finding(&id_of(code))?, *rate)));
            by_condition[at.at()] = (cases / rates.num_rows.max(1.0), shown.collect());
        }
        let mut begins = vec![false; knowledge.findings.len()];
        for (code, evidence) in &evidences {
            if let Some(at) = knowledge.finding(&id_of(code)) {
                begins[at.at()] = !evidence.is_antecedent && matches!(evidence.data_type.as_str(), "" | "B");
            }
        }
        Ok(Self { knowledge, names, rates: by_condition, begins })
    }

    /// The knowledge.
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// The condition of a published name, in English or French.
    pub fn condition(&self, name: &str) -> Option<ConditionIx> {
        self.names.get(&name.trim().to_lowercase()).copied()
    }

    /// The evidence of a code, with or without its value.
    pub fn evidence(&self, code: &str) -> Option<FindingIx> {
        let code = code.trim().split("_@_").next().unwrap_or_default();
        self.knowledge.finding(&id_of(code))
    }

    /// The patients of a CSV text with the published columns.
    ///
    /// # Errors
    ///
    /// [`EvaluateError::Row`] for one that does not read.
    pub fn patients(&self, text: &str) -> Result<Vec<Patient>, EvaluateError> {
        patients::read(self, text)
    }

    /// `count` patients drawn from the rates, as the generator draws them: conditions by their share, evidences
    /// independently of each other, one of the symptoms that are there as the initial one.
    pub fn simulate(&self, count: usize, seed: u64) -> Vec<Patient> {
        let mut random = Random::new(seed);
        (0..count).map(|_| self.drawn(&mut random)).collect()
    }

    fn drawn(&self, random: &mut Random) -> Patient {
        let mut left = random.share() * self.rates.iter().map(|(share, _)| share).sum::<f64>();
        let mut at = 0;
        for (condition, (share, _)) in self.rates.iter().enumerate() {
            at = condition;
            left -= share;
            if left < 0.0 {
                break;
            }
        }
        let shown = self.rates[at].1.iter().filter(|(_, rate)| random.share() < *rate);
        let evidences: Vec<FindingIx> = shown.map(|(evidence, _)| *evidence).collect();
        let begins: Vec<FindingIx> = evidences.iter().copied().filter(|it| self.begins[it.at()]).collect();
        let initial = begins.get(random.below(begins.len())).copied();
        let diagnosis = ConditionIx(u16::try_from(at).unwrap_or_default());
        Patient { age: None, sex: Sex::Unknown, diagnosis, evidences, initial, differential: Vec::new() }
    }

    /// What comes of one patient.
    pub fn outcome(&self, engine: &Engine, case: usize, patient: &Patient, manner: Manner) -> Outcome {
        let mut evidence =
            Evidence { age: patient.age, sex: patient.sex, is_closed: true, ..Evidence::default() };
        let asked = match manner {
            Manner::Asked => Some(self.ask(engine, patient, &mut evidence)),
            Manner::AllAtOnce => {
                for at in 0..self.knowledge.findings.len() {
                    let finding = FindingIx(u16::try_from(at).unwrap_or_default());
                    evidence.say(finding, answer(patient, finding));
                }
                None
            }
        };
        let ranking = engine.rank(&evidence);
        let lines = ranking.lines();
        let rank = lines.iter().position(|(condition, _)| *condition == patient.diagnosis).map(|at| at + 1);
        let named = |at: ConditionIx| self.knowledge.conditions[at.at()].id.clone();
        let first = lines.first().map(|(condition, _)| &self.knowledge.conditions[condition.at()]);
        Outcome {
            case,
            diagnosis: named(patient.diagnosis),
            is_covered: true,
            rank,
            rank_by_category: rank,
            differential: lines
                .iter()
                .take(WRITTEN_DOWN)
                .map(|(at, probability)| Ranked { condition: named(*at), probability: *probability })
                .collect(),
            none_of_these: 0.0,
            ddf1: (!patient.differential.is_empty()).then(|| f1(lines, &patient.differential)),
            interaction_length: asked,
            urgency_wanted: None,
            urgency: first.map_or(clinical::decision::Urgency::Consultation, |condition| condition.urgency),
            unmatched: Vec::new(),
        }
    }

    /// Asks until it is sure, nothing is left to ask, or it has asked too long; the length of the interaction.
    fn ask(&self, engine: &Engine, patient: &Patient, evidence: &mut Evidence) -> usize {
        if let Some(initial) = patient.initial {
            evidence.say(initial, FindingState::Present);
        }
        let mut length = 1;
        while length < LONGEST {
            let ranking = engine.rank(evidence);
            if ranking.lines().first().is_some_and(|(_, probability)| *probability >= SURE) {
                break;
            }
            let Some(next) = engine.ask(evidence, &ranking, 1).first().copied() else { break };
            evidence.say(next.finding, answer(patient, next.finding));
            length += 1;
        }
        length
    }
}

fn answer(patient: &Patient, finding: FindingIx) -> FindingState {
    if patient.evidences.contains(&finding) { FindingState::Present } else { FindingState::Absent }
}

/// F1 of the conditions above the cut against those of the given differential.
fn f1(lines: &[(ConditionIx, f32)], given: &[(ConditionIx, f32)]) -> f64 {
    let told: Vec<ConditionIx> = lines.iter().filter(|(_, p)| *p > CUT).map(|(at, _)| *at).collect();
    let both = given.iter().filter(|(at, _)| told.contains(at)).count() as f64;
    2.0 * both / (told.len() + given.len()).max(1) as f64
}

fn read<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<T, EvaluateError> {
    serde_json::from_str(text).map_err(|error| EvaluateError::File { file, why: error.to_string() })
}

fn missing(file: &'static str, what: &str) -> EvaluateError {
    EvaluateError::File { file, why: format!("{what} is missing") }
}

/// The id of a published name or code.
fn id_of(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// JSON's texts are texts of TOML, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace(char::is_control, " ")).to_string()
}

fn written_findings(evidences: &BTreeMap<String, WrittenEvidence>, rates: &WrittenRates) -> String {
    let mut text = String::new();
    for (code, evidence) in evidences {
        let id = id_of(code);
        let base = rates.global_root_rates.get(code).copied().unwrap_or_default().clamp(NEVER, 1.0 - NEVER);
        // Writing into a text cannot fail.
        let _ = writeln!(
            text,
            "[{id}]\nname = {asks}\nkind = \"symptom\"\nbase = {base:?}\nsays = [{says}]\nasks = {asks}\n",
            asks = quoted(&evidence.question_en),
            says = quoted(&code.to_lowercase()),
        );
    }
    text
}

fn written_conditions(
    conditions: &BTreeMap<String, WrittenCondition>,
    evidences: &BTreeMap<String, WrittenEvidence>,
    rates: &WrittenRates,
) -> Result<String, EvaluateError> {
    let mut text = String::new();
    for (key, condition) in conditions {
        let cases = rates.pathology_case_counts.get(key).copied().unwrap_or(0.0);
        let of = rates.pathology_root_rates.get(key).ok_or_else(|| missing(FILES[2], key))?;
        let urgency = match condition.severity {
            ..=1 => "emergency-ambulance",
            2 => "emergency",
            3 => "within-24h",
            4 => "consultation",
            _ => "self-care",
        };
        let code = condition.icd10.split([',', ' ']).next().unwrap_or_default().to_uppercase();
        let _ = writeln!(
            text,
            "[{id}]\nname = {name}\nalso = []\nicd10 = [{code}]\ncategory = \"infectious\"\nurgency = \"{urgency}\"\n\
             prior = {prior:?}\nduration = {{ typical_days = 7.0, spread = 4.0 }}\nseverity = [0.34, 0.33, 0.33]\n\
             says_when = {name}\nadvice = [{name}]\n[{id}.findings]",
            id = id_of(key),
            name = quoted(&condition.condition_name),
            code = quoted(&code),
            prior = ((cases + 0.5) / rates.num_rows.max(1.0) * 1000.0).min(999.0),
        );
        for evidence in evidences.keys() {
            let is_listed =
                condition.symptoms.contains_key(evidence) || condition.antecedents.contains_key(evidence);
            let rate = of.get(evidence).copied().unwrap_or_default();
            let smoothed = (cases * rate + 0.5) / (cases + 1.0);
            let p = if is_listed || rate > 0.0 { smoothed.clamp(NEVER, 1.0 - NEVER) } else { NEVER };
            let _ = writeln!(text, "{} = {p:?}", id_of(evidence));
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
