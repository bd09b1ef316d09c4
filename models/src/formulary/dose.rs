//! How much of a drug: the largest doses, and the usual ones.

use clinical::decision::ChildPugh;
use serde::Deserialize;

use super::IngredientIx;

/// The largest doses of one ingredient, taken into the body.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The largest single dose in mg.
    pub single_mg: f32,
    /// The largest amount of a day in mg.
    pub daily_mg: f32,
    /// From which age in years on these hold.
    pub adult_from: f32,
    /// What holds before that age; without it nothing is known.
    pub child: Option<ChildLimit>,
    /// What lowers the limits further.
    #[serde(default)]
    pub cases: Vec<LimitCase>,
}

/// The largest doses of a child by its weight.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildLimit {
    /// From which age in months on it holds.
    pub from_months: f32,
    /// The largest single dose in mg/kg.
    pub single_mg_kg: f32,
    /// The largest amount of a day in mg/kg.
    pub daily_mg_kg: f32,
}

/// Who must take less: every member that stands here must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitCase {
    /// Glomerular filtration below so many ml/min/1.73 m².
    pub egfr_below: Option<f32>,
    /// This class of liver function or a worse one.
    pub child_pugh_from: Option<ChildPugh>,
    /// From so many years of age on.
    pub age_from: Option<f32>,
    /// Below so many kilograms.
    pub kg_below: Option<f32>,
    /// The largest single dose in mg.
    pub single_mg: Option<f32>,
    /// The largest amount of a day in mg.
    pub daily_mg: Option<f32>,
    /// The largest single dose in mg/kg.
    pub single_mg_kg: Option<f32>,
    /// The largest amount of a day in mg/kg.
    pub daily_mg_kg: Option<f32>,
}

/// A usual way to give a drug.
#[derive(Debug, Clone, PartialEq)]
pub struct Regimen {
    /// The stable id.
    pub id: String,
    /// What is given.
    pub drug: IngredientIx,
    /// What is always given with it, as the other half of one product or cure.
    pub with: Vec<IngredientIx>,
    /// How: `oral`, `inhaled` …
    pub route: String,
    /// The dose of an adult, in words with its interval.
    pub adult: String,
    /// From which age in years on.
    pub adult_from: f32,
    /// For how long.
    pub length: Option<String>,
    /// The dose of a child.
    pub child: Option<ChildDose>,
    /// From an age in years on another dose; no dose: not to be given.
    pub older: Option<(f32, Option<String>)>,
    /// Below a weight in kilograms another dose; no dose: not to be given.
    pub light: Option<(f32, Option<String>)>,
    /// By glomerular filtration, the lowest bound first; no dose: not to be given.
    pub renal: Vec<(f32, Option<String>)>,
    /// By liver function, the worst first; no dose: not to be given.
    pub hepatic: Vec<(ChildPugh, Option<String>)>,
    /// When not, and what to watch.
    pub note: Option<String>,
}

/// The dose of a child: by its weight, or in words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildDose {
    /// From which age in months on.
    pub from_months: f32,
    /// One dose in mg/kg.
    pub mg_kg: Option<f32>,
    /// The largest single dose in mg.
    pub most_mg: Option<f32>,
    /// How often, in words.
    pub times: Option<String>,
    /// The dose in words, where it does not go by weight.
    pub dose: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRegimen {
    pub(super) drug: String,
    #[serde(default)]
    pub(super) with: Vec<String>,
    pub(super) route: String,
    pub(super) adult: String,
    #[serde(default = "adult_from")]
    pub(super) adult_from: f32,
    pub(super) length: Option<String>,
    pub(super) child: Option<ChildDose>,
    pub(super) older: Option<Bound>,
    pub(super) light: Option<Bound>,
    #[serde(default)]
    pub(super) renal: Vec<Bound>,
    #[serde(default)]
    pub(super) hepatic: Vec<LiverBound>,
    pub(super) note: Option<String>,
}

/// From or below a number another dose; without one the drug is not given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bound {
    #[serde(alias = "from")]
    pub(super) below: f32,
    pub(super) dose: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiverBound {
    pub(super) from: ChildPugh,
    pub(super) dose: Option<String>,
}

fn adult_from() -> f32 {
    12.0
}

impl WrittenRegimen {
    pub(super) fn linked(self, id: String, drug: IngredientIx, with: Vec<IngredientIx>) -> Regimen {
        let told = |bound: Bound| (bound.below, bound.dose);
        let mut renal: Vec<_> = self.renal.into_iter().map(|bound| (bound.below, bound.dose)).collect();
        renal.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut hepatic: Vec<_> = self.hepatic.into_iter().map(|bound| (bound.from, bound.dose)).collect();
        hepatic.sort_by_key(|bound| std::cmp::Reverse(bound.0));
        Regimen {
            id,
            drug,
            with,
            route: self.route,
            adult: self.adult,
            adult_from: self.adult_from,
            length: self.length,
            child: self.child,
            older: self.older.map(told),
            light: self.light.map(told),
            renal,
            hepatic,
            note: self.note,
        }
    }
}
