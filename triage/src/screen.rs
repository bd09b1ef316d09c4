//! What does not go together: drugs, allergies, conditions, ages and doses of one patient.
//!
//! A list is turned into indices once; each kind of issue has its file below and looks at the same [`Patient`]. What was
//! not understood or not told where it matters comes back as not checked, and is never taken to be safe.

mod age;
mod allergy;
mod amount;
mod condition;
mod contraindication;
mod dose;
mod drug;
mod duplicate;
mod interaction;
mod patient;
mod pregnancy;
mod qt;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clinical::decision::{DetectedIssue, IssueKind, IssueSeverity, NotChecked, Presentation, Screened};
use models::Knowledge;
use models::formulary::{Formulary, IngredientIx, Words};

use condition::Conditions;
use patient::Patient;

/// The most ingredients that are screened at once; what is beyond is said not to be checked.
const MOST: usize = 200;

/// Holds drugs against each other and against a patient.
#[derive(Debug, Clone)]
pub struct Screen {
    formulary: Arc<Formulary>,
    conditions: Arc<Conditions>,
}

impl Screen {
    /// With what is known of drugs, and of conditions for their names.
    pub fn new(formulary: Arc<Formulary>, knowledge: &Knowledge) -> Self {
        let conditions = Arc::new(Conditions::new(&formulary, knowledge));
        Self { formulary, conditions }
    }

    /// What is known of drugs.
    pub fn formulary(&self) -> &Formulary {
        &self.formulary
    }

    /// The ids of the ingredients of a drug, by its name or brand with or without dose and form; none where it is not known.
    pub fn ingredients(&self, said: &str) -> Vec<String> {
        let read = drug::read(&self.formulary, said);
        read.ingredients.iter().map(|drug| self.formulary.ingredients[drug.at()].id.clone()).collect()
    }

    /// How well the kidneys filter, as drugs are held against it: [`Presentation::filtration`], and no estimate in a pregnancy.
    pub(crate) fn filtration(&self, told: &Presentation) -> Option<f32> {
        self.conditions.filtration(told)
    }

    /// The issues of a list of drugs in a patient, the gravest first, and what could not be checked.
    ///
    /// The order in which drugs, allergies and conditions are told changes nothing, and a drug more never takes an issue
    /// away.
    pub fn check(&self, told: &Presentation) -> Screened {
        let mut notes = Notes::default();
        let patient = Patient::read(&self.formulary, &self.conditions, told, &mut notes);
        let mut issues = Vec::new();
        let mut round =
            Round { formulary: &self.formulary, patient: &patient, issues: &mut issues, notes: &mut notes };
        allergy::check(&mut round);
        interaction::check(&mut round);
        contraindication::check(&mut round);
        pregnancy::check(&mut round);
        age::check(&mut round);
        dose::check(&mut round);
        duplicate::check(&mut round);
        qt::check(&mut round);

        issues.sort_by(|one, other| rank(one).cmp(&rank(other)));
        issues.dedup();
        Screened {
            detected_issues: issues,
            not_checked: notes.into_told(&self.formulary),
            drugs: patient.taken_for,
        }
    }
}

/// What an issue is sorted by.
fn rank(issue: &DetectedIssue) -> impl Ord + '_ {
    let DetectedIssue { kind, severity, drugs, with, mechanism, .. } = issue;
    (std::cmp::Reverse(*severity), *kind, drugs, with, mechanism)
}

/// What could not be checked, each thing once.
#[derive(Debug, Default)]
struct Notes {
    told: BTreeSet<NotChecked>,
    /// What was not told, and the drugs for which it matters.
    missing: BTreeMap<&'static str, BTreeSet<IngredientIx>>,
}

impl Notes {
    fn add(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.told.insert(NotChecked { what: what.into(), why: why.into() });
    }

    /// Notes that something was not told which matters for a drug.
    fn missing(&mut self, what: &'static str, matters_for: IngredientIx) {
        self.missing.entry(what).or_default().insert(matters_for);
    }

    fn into_told(mut self, formulary: &Formulary) -> Vec<NotChecked> {
        for (what, drugs) in std::mem::take(&mut self.missing) {
            let names: Vec<_> =
                drugs.iter().map(|drug| formulary.ingredients[drug.at()].name.as_str()).collect();
            let why = match what {
                dose::LIMIT => "none is held at this age for",
                dose::DOSE => "not told, or not understood; it matters for",
                interaction::NONE => "no rule is held that speaks of",
                _ => "not told; it matters for",
            };
            self.add(what, format!("{why} {}", names.join(", ")));
        }
        self.told.into_iter().collect()
    }
}

/// One screening: what it looks at, and what it finds.
struct Round<'a> {
    formulary: &'a Formulary,
    patient: &'a Patient,
    issues: &'a mut Vec<DetectedIssue>,
    notes: &'a mut Notes,
}

impl Round<'_> {
    fn id(&self, drug: IngredientIx) -> String {
        self.formulary.ingredients[drug.at()].id.clone()
    }

    /// Notes what a rule says of some drugs.
    fn found(
        &mut self,
        kind: IssueKind,
        severity: IssueSeverity,
        drugs: &[IngredientIx],
        with: Option<String>,
        words: &Words,
    ) {
        let mut drugs: Vec<_> = drugs.iter().map(|&drug| self.id(drug)).collect();
        drugs.sort();
        self.issues.push(DetectedIssue {
            kind,
            severity,
            drugs,
            with,
            mechanism: words.mechanism.clone(),
            management: words.management.clone(),
            source: words.source.clone(),
        });
    }
}

/// One step less grave: what is given locally reaches the body in small amounts.
fn lowered(severity: IssueSeverity) -> IssueSeverity {
    match severity {
        IssueSeverity::High => IssueSeverity::Moderate,
        IssueSeverity::Moderate | IssueSeverity::Low => IssueSeverity::Low,
    }
}

#[cfg(test)]
mod tests;
