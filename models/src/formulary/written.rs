//! How the formulary's files are written (`models/knowledge/drugs/README.md`).

use clinical::decision::{ChildPugh, IssueSeverity};
use serde::Deserialize;

use super::Verdict;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenIngredient {
    pub(super) name: String,
    pub(super) rxcui: Option<String>,
    #[serde(default)]
    pub(super) also: Vec<String>,
    #[serde(default)]
    pub(super) brands: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenClass {
    pub(super) name: String,
    pub(super) duplicate: Option<IssueSeverity>,
    pub(super) members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCombination {
    pub(super) names: Vec<String>,
    pub(super) holds: Vec<String>,
    #[serde(default)]
    pub(super) also_holds: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenInteraction {
    pub(super) a: Vec<String>,
    pub(super) b: Vec<String>,
    pub(super) about: String,
    pub(super) severity: IssueSeverity,
    pub(super) mechanism: String,
    pub(super) management: String,
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenContraindication {
    pub(super) drugs: Vec<String>,
    #[serde(default)]
    pub(super) conditions: Vec<String>,
    pub(super) egfr_below: Option<f32>,
    pub(super) child_pugh_from: Option<ChildPugh>,
    pub(super) age_from: Option<f32>,
    pub(super) age_below: Option<f32>,
    #[serde(default)]
    pub(super) local: bool,
    pub(super) severity: IssueSeverity,
    pub(super) mechanism: String,
    pub(super) management: String,
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenConditionGroup {
    pub(super) name: String,
    #[serde(default)]
    pub(super) ids: Vec<String>,
    pub(super) says: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenInPregnancy {
    pub(super) drugs: Vec<String>,
    pub(super) first: Verdict,
    pub(super) second: Verdict,
    pub(super) third: Verdict,
    pub(super) lactation: Verdict,
    pub(super) mechanism: String,
    pub(super) management: String,
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAgeRule {
    pub(super) drugs: Vec<String>,
    pub(super) below: Option<f32>,
    pub(super) from: Option<f32>,
    pub(super) severity: IssueSeverity,
    pub(super) mechanism: String,
    pub(super) management: String,
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAllergyGroup {
    pub(super) name: String,
    #[serde(default)]
    pub(super) drugs: Vec<String>,
    pub(super) says: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCrossReaction {
    pub(super) from: Vec<String>,
    pub(super) to: Vec<String>,
    pub(super) severity: IssueSeverity,
    pub(super) share: String,
    pub(super) mechanism: String,
    pub(super) management: String,
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRecommendation {
    pub(super) note: Option<String>,
    #[serde(default)]
    pub(super) first: Vec<String>,
    #[serde(default)]
    pub(super) second: Vec<String>,
    pub(super) source: Option<String>,
}
