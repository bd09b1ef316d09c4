//! Which drugs are known, what they are called, and what they must not meet.
//!
//! It lies in text files below `models/knowledge/drugs/` that a clinician can review; here they are read, held against
//! each other, and turned into tables by index, so that a list of drugs is screened by a few operations on bits.

mod dose;
mod link;
mod names;
mod of_ingredient;
mod set;
mod written;

use std::collections::HashMap;
use std::path::Path;

use clinical::decision::{ChildPugh, IssueSeverity};
use serde::Deserialize;

use crate::knowledge::Files;
use crate::{Fault, Knowledge, KnowledgeError};

pub use dose::{ChildDose, ChildLimit, Limit, LimitCase, Regimen};
pub use names::{Named, is_salt, plain};
use of_ingredient::OfIngredient;
pub use set::Set;

/// The source of what is our own judgement.
pub const ESTIMATED: &str = "estimated";

/// An ingredient's place in [`Formulary::ingredients`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IngredientIx(pub u16);

impl IngredientIx {
    /// As an index.
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// One substance that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    /// The stable id.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// RxNorm concept.
    pub rxcui: Option<String>,
    /// Other names of the substance.
    pub also: Vec<String>,
    /// Names of products that hold it alone.
    pub brands: Vec<String>,
}

/// Substances that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The stable id.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// How grave it is that two of them are taken; `None` where it is usual.
    pub duplicate: Option<IssueSeverity>,
    /// Who belongs to it.
    pub members: Set,
}

/// What a rule says to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The rule's stable id.
    pub id: String,
    /// How grave it is.
    pub severity: IssueSeverity,
    /// How it comes about.
    pub mechanism: String,
    /// What to do.
    pub management: String,
    /// Where it stands, or [`ESTIMATED`].
    pub source: String,
}

/// One of `a` with one of `b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interaction {
    /// What it says.
    pub words: Words,
    /// Of a pair, only the gravest rule about one thing is told.
    pub about: u16,
    /// The one side.
    pub a: Set,
    /// The other.
    pub b: Set,
}

/// A drug in somebody who has something.
#[derive(Debug, Clone, PartialEq)]
pub struct Contraindication {
    /// What it says.
    pub words: Words,
    /// Of which drugs it speaks.
    pub drugs: Set,
    /// Any of these is enough, as places in [`Formulary::conditions`].
    pub conditions: Vec<u16>,
    /// Glomerular filtration below it is enough, in ml/min/1.73 m².
    pub egfr_below: Option<f32>,
    /// This class of liver function or a worse one is enough.
    pub child_pugh_from: Option<ChildPugh>,
    /// Only from so many years on.
    pub age_from: Option<f32>,
    /// Only below so many years.
    pub age_below: Option<f32>,
    /// It holds as gravely for what is given locally.
    pub is_local: bool,
}

/// What a contraindication speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionGroup {
    /// The stable id.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// Ids of conditions and of findings of the person.
    pub ids: Vec<String>,
    /// Further words that mean it.
    pub says: Vec<String>,
}

/// Whether a drug is given in a pregnancy, or while a child is breastfed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Safe,
    /// Only with a reason.
    Weigh,
    /// It is not.
    Avoid,
}

/// What is known of a drug in pregnancy and while breastfeeding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPregnancy {
    /// The rule's stable id.
    pub id: String,
    /// First, second and third trimester.
    pub trimesters: [Verdict; 3],
    /// While a child is breastfed.
    pub lactation: Verdict,
    /// Why.
    pub mechanism: String,
    /// What to do.
    pub management: String,
    /// Where it stands, or [`ESTIMATED`].
    pub source: String,
}

/// A drug at an age.
#[derive(Debug, Clone, PartialEq)]
pub struct AgeRule {
    /// What it says.
    pub words: Words,
    /// Below so many years.
    pub below: Option<f32>,
    /// From so many years on.
    pub from: Option<f32>,
}

/// What people say that they are allergic to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllergyGroup {
    /// The stable id.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// The drugs that it means; none where it concerns no drug.
    pub drugs: Set,
}

/// Who is allergic to one of `from` may react to one of `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossReaction {
    /// What it says.
    pub words: Words,
    /// How often, in words.
    pub share: String,
    /// The drugs of the allergy.
    pub from: Set,
    /// The drugs that are alike.
    pub to: Set,
}

/// A product of several ingredients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    /// The stable id.
    pub id: String,
    /// What it holds.
    pub holds: Vec<IngredientIx>,
    /// What it holds besides, that the formulary does not know.
    pub also_holds: Vec<String>,
}

/// Which drugs are given for a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommendation {
    /// The condition's id.
    pub condition: String,
    /// What comes before any drug, or instead of one.
    pub note: Option<String>,
    /// Line and place in [`Formulary::regimens`], the first choice first.
    pub lines: Vec<(u8, u16)>,
    /// Where it stands, or [`ESTIMATED`].
    pub source: String,
}

/// All that is known of drugs.
#[derive(Debug, Clone)]
pub struct Formulary {
    /// Ingredients, by id.
    pub ingredients: Vec<Ingredient>,
    /// Classes, by id.
    pub classes: Vec<Class>,
    /// Products of several ingredients, by id.
    pub combinations: Vec<Combination>,
    /// Rules about pairs, by id.
    pub interactions: Vec<Interaction>,
    /// Rules about conditions, by id.
    pub contraindications: Vec<Contraindication>,
    /// What contraindications speak of.
    pub conditions: Vec<ConditionGroup>,
    /// What is known in pregnancy, by id.
    pub pregnancy: Vec<InPregnancy>,
    /// Rules about ages, by id.
    pub ages: Vec<AgeRule>,
    /// Allergies, by id.
    pub allergies: Vec<AllergyGroup>,
    /// Cross-reactions, by id.
    pub cross_reactions: Vec<CrossReaction>,
    /// Usual ways to give a drug, by id.
    pub regimens: Vec<Regimen>,
    /// Recommendations, by condition.
    pub recommendations: Vec<Recommendation>,
    of_ingredient: Vec<OfIngredient>,
    ingredient_of: HashMap<String, IngredientIx>,
    allergy_of: HashMap<String, u16>,
    names: names::Names,
    version: String,
}

impl Formulary {
    /// What is in the program.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`]; a test holds that there is none.
    pub fn built_in() -> Result<Self, KnowledgeError> {
        Self::of(&Files::in_the_box())
    }

    /// What lies in a folder that has the folder `drugs`.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`] that says what to mend.
    pub fn open(folder: &Path) -> Result<Self, KnowledgeError> {
        Self::of(&Files::of(folder)?)
    }

    /// What stands in texts, by the names of their files below `knowledge/`.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`] that says what to mend.
    pub fn from_texts(texts: &[(&str, &str)]) -> Result<Self, KnowledgeError> {
        Self::of(&Files::from_texts(texts))
    }

    /// An ingredient by its id.
    pub fn ingredient(&self, id: &str) -> Option<IngredientIx> {
        self.ingredient_of.get(id).copied()
    }

    /// What somebody is allergic to, by words as [`plain`] gives them; drugs themselves are found by [`Self::named`].
    pub fn allergy(&self, words: &str) -> Option<&AllergyGroup> {
        self.allergy_of.get(words).map(|&at| &self.allergies[usize::from(at)])
    }

    /// What a name as [`plain`] gives it means.
    pub fn named(&self, words: &str) -> Option<Named> {
        self.names.exactly(words)
    }

    /// What a name means that differs from `words` in one letter, where only one meaning does.
    pub fn nearly_named(&self, words: &str) -> Option<Named> {
        self.names.nearly(words)
    }

    /// Rules that speak of these two, in either order.
    pub fn interactions_of(
        &self,
        one: IngredientIx,
        other: IngredientIx,
    ) -> impl Iterator<Item = &Interaction> {
        let (one, other) = (&self.of_ingredient[one.at()], &self.of_ingredient[other.at()]);
        let either = one.a_of.common(&other.b_of).union(&one.b_of.common(&other.a_of));
        either.into_members().map(|at| &self.interactions[usize::from(at)])
    }

    /// Whether any rule about pairs speaks of a drug, by its name or its class.
    pub fn has_interactions(&self, drug: IngredientIx) -> bool {
        let of = &self.of_ingredient[drug.at()];
        !of.a_of.is_empty() || !of.b_of.is_empty()
    }

    /// Rules about conditions that speak of a drug.
    pub fn contraindications_of(&self, drug: IngredientIx) -> impl Iterator<Item = &Contraindication> {
        self.of_ingredient[drug.at()]
            .contraindications
            .iter()
            .map(|&at| &self.contraindications[usize::from(at)])
    }

    /// What is known of a drug in pregnancy: what speaks of it by name goes before what speaks of its class.
    pub fn pregnancy_of(&self, drug: IngredientIx) -> impl Iterator<Item = &InPregnancy> {
        self.of_ingredient[drug.at()].pregnancy.iter().map(|&at| &self.pregnancy[usize::from(at)])
    }

    /// Rules about ages that speak of a drug.
    pub fn ages_of(&self, drug: IngredientIx) -> impl Iterator<Item = &AgeRule> {
        self.of_ingredient[drug.at()].ages.iter().map(|&at| &self.ages[usize::from(at)])
    }

    /// Classes of a drug of which one is enough.
    pub fn single_classes_of(&self, drug: IngredientIx) -> impl Iterator<Item = &Class> {
        self.of_ingredient[drug.at()].duplicates.iter().map(|&at| &self.classes[usize::from(at)])
    }

    /// The largest doses of a drug.
    pub fn limit_of(&self, drug: IngredientIx) -> Option<&Limit> {
        self.of_ingredient[drug.at()].limit.as_ref()
    }

    /// A class by its id.
    pub fn class(&self, id: &str) -> Option<&Class> {
        let at = self.classes.binary_search_by(|class| class.id.as_str().cmp(id)).ok()?;
        Some(&self.classes[at])
    }

    /// What is given for a condition.
    pub fn recommendation(&self, condition: &str) -> Option<&Recommendation> {
        let at = self.recommendations.binary_search_by(|one| one.condition.as_str().cmp(condition)).ok()?;
        Some(&self.recommendations[at])
    }

    /// SHA-256 of the files, in hexadecimal.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What speaks of conditions that `knowledge` does not have.
    pub fn faults_against(&self, knowledge: &Knowledge) -> Vec<Fault> {
        let is_known = |id: &str| knowledge.condition(id).is_some() || knowledge.finding(id).is_some();
        let fault = |entry: &str, id: &str| Fault {
            file: "drugs".to_owned(),
            entry: entry.to_owned(),
            mend: format!("«{id}» is neither a condition nor a finding"),
        };
        let of_groups =
            self.conditions.iter().flat_map(|group| group.ids.iter().map(|id| (group.id.as_str(), id)));
        let unknown = of_groups.filter(|(_, id)| !is_known(id)).map(|(entry, id)| fault(entry, id));
        let unadvised =
            self.recommendations.iter().filter(|one| knowledge.condition(&one.condition).is_none());
        unknown.chain(unadvised.map(|one| fault(&one.condition, &one.condition))).collect()
    }
}

#[cfg(test)]
mod tests;
