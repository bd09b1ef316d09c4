//! What somebody comes with: symptoms in their context.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::vitals::Vitals;
use crate::invalid::{Invalid, invalid};
use crate::person::Sex;

/// The most symptoms, drugs or words of a kind that one presentation may hold.
const MOST: usize = 500;
/// The longest word or sentence of a list, in characters.
const LONG_WORD: usize = 500;
/// The longest free text, in characters.
const LONG_TEXT: usize = 20_000;

/// Whether somebody has a finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// It is there.
    #[default]
    Present,
    /// It is not there.
    Absent,
    /// It was asked for, and nobody knows.
    Unknown,
    /// It was not asked for.
    NotAsked,
}

/// How bad it is, as the patient says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It can be borne.
    Mild,
    /// It hinders.
    Moderate,
    /// It keeps from everything else.
    Severe,
}

/// Liver function by Child and Pugh (Pugh et al., Br J Surg 1973).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ChildPugh {
    /// 5–6 points.
    A,
    /// 7–9 points.
    B,
    /// 10–15 points.
    C,
}

/// One symptom or sign: a word, or more of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Symptom {
    /// In the patient's words, or a finding's id.
    Word(String),
    /// With what is known of it.
    Told {
        /// In the patient's words, or a finding's id.
        name: String,
        /// Whether it is there; `present` and `absent` with a truth value are read too.
        #[cfg_attr(feature = "schema", schema(required = false))]
        state: FindingState,
        /// How bad it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        severity: Option<Severity>,
        /// For how many days.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_days: Option<f32>,
        /// Members that nobody reads.
        #[serde(flatten)]
        #[cfg_attr(feature = "schema", schema(value_type = Object))]
        ignored: BTreeMap<String, serde_json::Value>,
    },
}

/// One drug: a word, or more of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Drug {
    /// A name or a brand.
    Word(String),
    /// With its dose.
    Told {
        /// A name or a brand.
        name: String,
        /// One dose in mg.
        #[serde(skip_serializing_if = "Option::is_none")]
        dose_mg: Option<f32>,
        /// Doses a day.
        #[serde(skip_serializing_if = "Option::is_none")]
        times_a_day: Option<f32>,
        /// How it is given: `oral`, `topical`, `inhaled`, `intravenous` …
        #[serde(skip_serializing_if = "Option::is_none")]
        route: Option<String>,
        /// Members that nobody reads.
        #[serde(flatten)]
        #[cfg_attr(feature = "schema", schema(value_type = Object))]
        ignored: BTreeMap<String, serde_json::Value>,
    },
}

impl Symptom {
    /// A finding in a state, of which nothing more is known.
    pub fn is(name: String, state: FindingState) -> Self {
        Self::Told { name, state, severity: None, duration_days: None, ignored: BTreeMap::new() }
    }
}

impl Drug {
    /// The name or brand.
    pub fn name(&self) -> &str {
        match self {
            Self::Word(name) | Self::Told { name, .. } => name,
        }
    }
}

/// What somebody comes with.
///
/// What a caller sends beyond these members is kept under `ignored`, so that the answer can say that nobody looked at it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Presentation {
    /// The whole story in free words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What the patient has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symptoms: Vec<Symptom>,
    /// What the patient says not to have.
    #[serde(alias = "absent_findings", alias = "absentFindings", skip_serializing_if = "Vec::is_empty")]
    pub denies: Vec<String>,
    /// Age in years; parts of a year for infants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<f32>,
    /// Sex, as far as it bears on what may be there.
    #[serde(alias = "gender")]
    pub sex: Sex,
    /// How bad all of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// For how many days.
    #[serde(alias = "duration_days", alias = "durationDays", skip_serializing_if = "Option::is_none")]
    pub duration: Option<f32>,
    /// Conditions that are known, and what happened before.
    #[serde(alias = "medicalHistory", alias = "conditions", skip_serializing_if = "Vec::is_empty")]
    pub medical_history: Vec<String>,
    /// What runs in the family.
    #[serde(alias = "familyHistory", skip_serializing_if = "Vec::is_empty")]
    pub family_history: Vec<String>,
    /// Habits, work, journeys.
    #[serde(alias = "socialHistory", skip_serializing_if = "Vec::is_empty")]
    pub social_history: Vec<String>,
    /// Substances that are not borne.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allergies: Vec<String>,
    /// What is taken.
    #[serde(alias = "medication", skip_serializing_if = "Vec::is_empty")]
    pub medications: Vec<Drug>,
    /// What was measured.
    pub vitals: Vitals,
    /// Whether there is a pregnancy.
    #[serde(alias = "pregnancy", skip_serializing_if = "Option::is_none")]
    pub pregnant: Option<bool>,
    /// Completed weeks of it.
    #[serde(alias = "gestationWeeks", skip_serializing_if = "Option::is_none")]
    pub gestation_weeks: Option<f32>,
    /// Whether a child is breastfed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breastfeeding: Option<bool>,
    /// Estimated glomerular filtration rate in ml/min/1.73 m².
    #[serde(alias = "eGFR", skip_serializing_if = "Option::is_none")]
    pub egfr: Option<f32>,
    /// Creatinine in the blood in µmol/l; where no filtration rate is told it is estimated from it ([`Self::filtration`]).
    #[serde(alias = "creatinineUmolL", skip_serializing_if = "Option::is_none")]
    pub creatinine_umol_l: Option<f32>,
    /// Creatinine in the blood in mg/dl.
    #[serde(alias = "creatinineMgDl", skip_serializing_if = "Option::is_none")]
    pub creatinine_mg_dl: Option<f32>,
    /// Liver function.
    #[serde(alias = "childPugh", skip_serializing_if = "Option::is_none")]
    pub child_pugh: Option<ChildPugh>,
    /// Month of the year, 1 to 12, for what has a season (north of the tropics).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<u8>,
    /// Where: `tropics`, `temperate-north`, `temperate-south`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Members that nobody reads.
    #[serde(flatten)]
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub ignored: BTreeMap<String, serde_json::Value>,
}

/// Every member of a value that is not as it must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Invalid>);

impl Faults {
    /// Names `member` where it does not hold.
    pub fn hold(&mut self, member: &'static str, holds: bool, rule: &'static str) {
        if !holds {
            self.0.push(invalid(member, rule));
        }
    }
}

impl Presentation {
    /// Whether numbers are possible and lists are bounded; whether anything was told at all.
    ///
    /// # Errors
    ///
    /// [`Faults`] with every member that must be mended.
    pub fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let within =
            |value: Option<f32>, from: f32, to: f32| value.is_none_or(|value| (from..=to).contains(&value));
        faults.hold("age", within(self.age, 0.0, 125.0), "is 0 to 125 years");
        faults.hold("duration", within(self.duration, 0.0, 36_500.0), "is 0 to 36500 days");
        faults.hold("gestation_weeks", within(self.gestation_weeks, 0.0, 45.0), "is 0 to 45 weeks");
        faults.hold("egfr", within(self.egfr, 0.0, 250.0), "is 0 to 250 ml/min/1.73 m²");
        let umol_l = self.creatinine_umol_l;
        faults.hold("creatinine_umol_l", within(umol_l, 5.0, 4_000.0), "is 5 to 4000 µmol/l");
        faults.hold("creatinine_mg_dl", within(self.creatinine_mg_dl, 0.06, 45.0), "is 0.06 to 45 mg/dl");
        faults.hold(
            "creatinine_mg_dl",
            umol_l.is_none() || self.creatinine_mg_dl.is_none(),
            "does not stand beside creatinine_umol_l",
        );
        faults.hold("month", self.month.is_none_or(|month| (1..=12).contains(&month)), "is 1 to 12");
        faults.hold(
            "pregnant",
            !(self.pregnant == Some(true) && self.sex == Sex::Male),
            "does not go with sex male",
        );
        self.vitals.check(&mut faults);
        let text = self.text.as_deref().unwrap_or_default();
        faults.hold("text", text.chars().count() <= LONG_TEXT, "has at most 20000 characters");
        for (member, words) in [
            ("denies", &self.denies),
            ("medical_history", &self.medical_history),
            ("family_history", &self.family_history),
            ("social_history", &self.social_history),
            ("allergies", &self.allergies),
        ] {
            faults.hold(member, words.len() <= MOST, "holds at most 500");
            let are_short = words.iter().take(MOST).all(|word| word.chars().count() <= LONG_WORD);
            faults.hold(member, are_short, "holds texts of at most 500 characters");
        }
        self.check_symptoms(&mut faults);
        self.check_medications(&mut faults);
        if faults.0.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn check_symptoms(&self, faults: &mut Faults) {
        faults.hold("symptoms", self.symptoms.len() <= MOST, "holds at most 500");
        for symptom in self.symptoms.iter().take(MOST) {
            let (Symptom::Word(name) | Symptom::Told { name, .. }) = symptom;
            faults.hold(
                "symptoms",
                name.chars().count() <= LONG_WORD,
                "holds texts of at most 500 characters",
            );
            if let Symptom::Told { duration_days: Some(days), .. } = symptom {
                faults.hold("symptoms.duration_days", (0.0..=36_500.0).contains(days), "is 0 to 36500 days");
            }
        }
    }

    fn check_medications(&self, faults: &mut Faults) {
        faults.hold("medications", self.medications.len() <= MOST, "holds at most 500");
        for drug in self.medications.iter().take(MOST) {
            faults.hold(
                "medications",
                drug.name().chars().count() <= LONG_WORD,
                "holds texts of at most 500 characters",
            );
            if let Drug::Told { dose_mg, times_a_day, .. } = drug {
                let dose = dose_mg.is_none_or(|mg| mg > 0.0 && mg <= 1_000_000.0);
                faults.hold("medications.dose_mg", dose, "is above 0 and at most 1000000");
                let times = times_a_day.is_none_or(|times| times > 0.0 && times <= 48.0);
                faults.hold("medications.times_a_day", times, "is above 0 and at most 48");
            }
        }
    }

    /// The members that nobody reads, those of symptoms and drugs among them (`symptoms.colour`), in order, each once.
    pub fn unread(&self) -> Vec<String> {
        let mut unread: BTreeSet<String> = self.ignored.keys().cloned().collect();
        for symptom in &self.symptoms {
            let Symptom::Told { ignored, .. } = symptom else { continue };
            unread.extend(ignored.keys().map(|member| format!("symptoms.{member}")));
        }
        for drug in &self.medications {
            let Drug::Told { ignored, .. } = drug else { continue };
            unread.extend(ignored.keys().map(|member| format!("medications.{member}")));
        }
        unread.into_iter().collect()
    }

    /// Whether nothing was told that could be judged.
    pub fn is_empty(&self) -> bool {
        self.symptoms.iter().all(|(Symptom::Word(name) | Symptom::Told { name, .. })| name.trim().is_empty())
            && self.text.as_deref().is_none_or(|text| text.trim().is_empty())
            && self.vitals == Vitals::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_impossible_number_is_named_at_once() {
        let told = r#"{"symptoms": ["cough"], "age": 300, "vitals": {"spo2": 140, "systolic": 80, "diastolic": 120}, "month": 13}"#;
        let presentation: Presentation = serde_json::from_str(told).unwrap();
        let members: Vec<_> = presentation.check().unwrap_err().0.iter().map(|fault| fault.member).collect();
        assert_eq!(members, ["age", "month", "vitals.spo2", "vitals.diastolic"]);
    }

    /// The names of the prediction service that was promised (`medicalHistory`, `gender`), and ours.
    #[test]
    fn both_spellings_are_read_and_what_nobody_reads_is_kept() {
        let told = r#"{"symptoms": ["fever", {"name": "cough", "duration_days": 3}], "gender": "male", "medicalHistory": ["diabetes"], "shoeSize": 43}"#;
        let presentation: Presentation = serde_json::from_str(told).unwrap();
        assert_eq!(presentation.sex, Sex::Male);
        assert_eq!(presentation.medical_history, ["diabetes"]);
        assert!(presentation.ignored.contains_key("shoeSize"));
        assert_eq!(presentation.check(), Ok(()));
    }

    /// What another service would say of a symptom that is not there.
    #[test]
    fn a_symptom_that_is_said_not_to_be_there_is_never_present() {
        for (told, state) in [
            (r#"{"name": "chest pain", "present": false}"#, FindingState::Absent),
            (r#"{"name": "chest pain", "absent": true}"#, FindingState::Absent),
            (r#"{"name": "chest pain", "isPresent": false}"#, FindingState::Absent),
            (r#"{"name": "chest pain", "present": true}"#, FindingState::Present),
            (r#"{"name": "chest pain", "present": null}"#, FindingState::Unknown),
            (r#"{"name": "chest pain", "present": true, "absent": null}"#, FindingState::Present),
            (r#"{"name": "chest pain", "state": null, "denied": true}"#, FindingState::Absent),
            (r#"{"name": "chest pain", "state": null, "present": null}"#, FindingState::Unknown),
            (r#"{"symptom": "chest pain", "state": "unknown"}"#, FindingState::Unknown),
            (r#"{"name": "chest pain"}"#, FindingState::Present),
        ] {
            let symptom: Symptom = serde_json::from_str(told).unwrap();
            assert!(
                matches!(symptom, Symptom::Told { state: read, .. } if read == state),
                "{told}: {symptom:?}"
            );
        }
        let both = r#"{"name": "chest pain", "state": "present", "present": false}"#;
        let fault = serde_json::from_str::<Symptom>(both).unwrap_err().to_string();
        assert!(fault.contains("contradict"), "{fault}");
        let unnamed = serde_json::from_str::<Symptom>(r#"{"colour": "red"}"#).unwrap_err().to_string();
        assert!(unnamed.contains("name"), "{unnamed}");
    }

    #[test]
    fn members_of_symptoms_and_drugs_that_nobody_reads_are_named_and_kept() {
        let told = r#"{"symptoms": [{"name": "cough", "colour": "green"}], "medications": [{"name": "aspirin", "status": "stopped"}],
                       "shoeSize": 43}"#;
        let presentation: Presentation = serde_json::from_str(told).unwrap();
        assert_eq!(presentation.unread(), ["medications.status", "shoeSize", "symptoms.colour"]);
        let again = serde_json::from_str(&serde_json::to_string(&presentation).unwrap()).unwrap();
        assert_eq!(presentation, again);
    }

    #[test]
    fn ten_thousand_symptoms_are_refused_by_name() {
        let many =
            Presentation { symptoms: vec![Symptom::Word("fever".into()); 10_000], ..Presentation::default() };
        assert_eq!(many.check().unwrap_err().0[0].member, "symptoms");
    }
}
