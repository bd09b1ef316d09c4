//! What is known of one patient, as indices.

use std::collections::BTreeSet;

use clinical::decision::{ChildPugh, Drug, Presentation, TakenFor};
use clinical::person::Sex;
use models::formulary::{Formulary, IngredientIx, Set};

use super::condition::{Conditions, is_none};
use super::drug::{MOST_WORDS, read};
use super::route::{Route, route};
use super::{MOST, Notes, allergy};

/// From these years to those a pregnancy is thought of when nobody says.
const FERTILE: std::ops::RangeInclusive<f32> = 12.0..=55.0;
/// The class of what gets into the body through skin, eye and mucosa.
const ABSORBED: &str = "absorbed-locally";

/// One ingredient that is taken; told twice, it is here once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taken {
    pub(super) drug: IngredientIx,
    /// Of several, the one that reaches more.
    pub(super) route: Route,
    /// It is given locally, and little of it gets into the body.
    pub(super) stays_local: bool,
    /// How often it was told.
    pub(super) entries: usize,
    /// The largest single dose that was told, in mg.
    pub(super) single_mg: Option<f32>,
    /// What a day adds up to, in mg, as far as it was told.
    pub(super) daily_mg: f32,
    /// Some dose, or how often, was not told.
    pub(super) is_dose_unknown: bool,
}

/// What is known of one patient.
#[derive(Debug, Clone)]
pub(super) struct Patient {
    pub(super) taken: Vec<Taken>,
    pub(super) taken_for: Vec<TakenFor>,
    pub(super) allergies: Vec<allergy::Allergy>,
    /// Places in [`Formulary::conditions`], in order.
    pub(super) conditions: BTreeSet<u16>,
    pub(super) age: Option<f32>,
    pub(super) weight_kg: Option<f32>,
    pub(super) egfr: Option<f32>,
    pub(super) child_pugh: Option<ChildPugh>,
    pub(super) sex: Sex,
    pub(super) pregnant: Option<bool>,
    pub(super) gestation_weeks: Option<f32>,
    pub(super) breastfeeding: Option<bool>,
}

impl Patient {
    pub(super) fn read(
        formulary: &Formulary,
        conditions: &Conditions,
        told: &Presentation,
        notes: &mut Notes,
    ) -> Self {
        let mut patient = Self {
            taken: Vec::new(),
            taken_for: Vec::new(),
            allergies: Vec::new(),
            conditions: BTreeSet::new(),
            age: told.age,
            weight_kg: told.vitals.weight_kg,
            egfr: conditions.filtration(told),
            child_pugh: told.child_pugh,
            sex: told.sex,
            pregnant: conditions.is_pregnant(told),
            gestation_weeks: told.gestation_weeks,
            breastfeeding: told.breastfeeding,
        };
        for drug in &told.medications {
            patient.take(formulary, drug, notes);
        }
        let absorbed = formulary.class(ABSORBED);
        for taken in &mut patient.taken {
            let is_absorbed = absorbed.is_some_and(|class| class.members.has(taken.drug.0));
            taken.stays_local = taken.route == Route::Local && !is_absorbed;
        }
        patient.taken.sort_by_key(|taken| taken.drug);
        patient.taken_for.sort();
        if patient.taken.len() > MOST {
            notes.add("medications", format!("only {MOST} ingredients are screened at once"));
            patient.taken.truncate(MOST);
        }
        for said in told.allergies.iter().filter(|said| !is_none(said)) {
            patient.allergies.extend(allergy::read(formulary, said, notes));
        }
        if told.allergies.is_empty() && !patient.taken.is_empty() {
            notes.add("allergies", "none were told, nor that there are none");
        }
        patient.allergies.sort();
        patient.have(conditions, told, notes);
        patient
    }

    fn take(&mut self, formulary: &Formulary, drug: &Drug, notes: &mut Notes) {
        let said = drug.name().trim();
        let understood = read(formulary, said);
        if understood.ingredients.is_empty() {
            notes.add(said, "the formulary does not know this drug");
            return;
        }
        if !understood.unknown.is_empty() {
            notes.add(said, format!("«{}» was not understood", understood.unknown.join(" ")));
        }
        for also in &understood.also_holds {
            notes.add(said, format!("it holds {also} too, which the formulary does not know"));
        }
        let name = |drug: &IngredientIx| formulary.ingredients[drug.at()].name.clone();
        for guessed in &understood.guessed {
            let names: Vec<_> = understood.ingredients.iter().map(name).collect();
            notes.add(said, format!("«{guessed}» was read as {}; confirm it", names.join(" and ")));
        }
        if understood.is_cut {
            notes.add(said, format!("only its first {MOST_WORDS} words were read"));
        }
        let amount = &understood.amount;
        let (mut dose, mut times, mut given) = (amount.dose_mg, amount.times_a_day, understood.route);
        if let Drug::Told { dose_mg, times_a_day, route: told, .. } = drug {
            (dose, times) = (dose_mg.or(dose), times_a_day.or(times));
            if let Some(told) = told {
                given = route(told);
                if given.is_none() {
                    notes.add(
                        said,
                        format!("the route «{told}» is not known; it was taken to reach the body"),
                    );
                }
            }
        }
        if let (None, Some(other)) = (dose, &amount.other_unit) {
            notes.add(said, format!("the dose of {other} is in no unit of mass"));
        }
        let is_product = understood.ingredients.len() > 1;
        if is_product && dose.is_some() {
            notes.add(said, "it holds several ingredients; how much of each was not told");
            dose = None;
        }
        self.taken_for.push(TakenFor {
            words: said.to_owned(),
            drugs: understood
                .ingredients
                .iter()
                .map(|drug| formulary.ingredients[drug.at()].id.clone())
                .collect(),
            rxcui: understood
                .ingredients
                .iter()
                .filter_map(|drug| formulary.ingredients[drug.at()].rxcui.clone())
                .collect(),
        });
        for drug in understood.ingredients {
            self.add(drug, given.unwrap_or(Route::Systemic), dose, times);
        }
    }

    fn add(&mut self, drug: IngredientIx, route: Route, dose: Option<f32>, times: Option<f32>) {
        // A local dose adds nothing to what is taken into the body.
        let (dose, times) = if route == Route::Local { (None, None) } else { (dose, times) };
        let daily = dose.zip(times).map(|(dose, times)| dose * times);
        let place = match self.taken.iter().position(|taken| taken.drug == drug) {
            Some(at) => &mut self.taken[at],
            None => {
                let taken = Taken {
                    drug,
                    route,
                    stays_local: false,
                    entries: 0,
                    single_mg: None,
                    daily_mg: 0.0,
                    is_dose_unknown: false,
                };
                self.taken.push(taken);
                let last = self.taken.len() - 1;
                &mut self.taken[last]
            }
        };
        place.route = place.route.max(route);
        place.entries += 1;
        place.single_mg = match (place.single_mg, dose) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        place.daily_mg += daily.unwrap_or_default();
        place.is_dose_unknown |= daily.is_none();
    }

    fn have(&mut self, conditions: &Conditions, told: &Presentation, notes: &mut Notes) {
        for said in told.medical_history.iter().filter(|said| !is_none(said)) {
            match conditions.meaning(said) {
                Some(meaning) => {
                    self.conditions.extend(&meaning.groups);
                    if meaning.is_breastfeeding && self.breastfeeding.is_none() {
                        self.breastfeeding = Some(true);
                    }
                }
                None => notes.add(said.trim(), "this condition is not known, so no drug was held against it"),
            }
        }
        // Habits are told in many words; those that are understood count.
        for meaning in told.social_history.iter().filter_map(|said| conditions.meaning(said)) {
            self.conditions.extend(&meaning.groups);
        }
        if told.medical_history.is_empty() && !self.taken.is_empty() {
            notes.add("medical_history", "no condition was told, nor that there is none");
        }
    }

    /// Whether a pregnancy must be thought of though nobody told of one.
    pub(super) fn may_be_pregnant(&self) -> bool {
        self.pregnant.is_none() && self.may_bear()
    }

    /// Whether breastfeeding must be thought of though nobody told of it.
    pub(super) fn may_breastfeed(&self) -> bool {
        self.breastfeeding.is_none() && self.pregnant != Some(true) && self.may_bear()
    }

    fn may_bear(&self) -> bool {
        self.sex != Sex::Male && self.age.is_none_or(|age| FERTILE.contains(&age))
    }

    /// What is taken of a class.
    pub(super) fn taken_of<'a>(&'a self, class: &'a Set) -> impl Iterator<Item = &'a Taken> {
        self.taken.iter().filter(|taken| class.has(taken.drug.0))
    }
}
