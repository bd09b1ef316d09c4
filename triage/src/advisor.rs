//! Conditions and drugs together: what a house, a command and a test ask.

use std::sync::Arc;

use clinical::decision::{Assessment, DrugAdvice, NotChecked, Presentation, Screened};
use models::{Category, Condition, ConditionIx, Formulary, Knowledge, KnowledgeError};

use crate::evaluate::matching::Names;
use crate::{Engine, Screen};

/// One knowledge with its drugs, ready to be asked; it is made once and shared.
#[derive(Debug, Clone)]
pub struct Advisor {
    engine: Engine,
    screen: Screen,
    names: Names,
}

impl Advisor {
    /// With what is in the program.
    ///
    /// # Errors
    ///
    /// [`KnowledgeError`]; a test of `models` holds that there is none.
    pub fn built_in() -> Result<Self, KnowledgeError> {
        Ok(Self::new(Knowledge::built_in()?, Formulary::built_in()?))
    }

    /// With another knowledge of conditions, or of drugs.
    pub fn new(knowledge: Knowledge, formulary: Formulary) -> Self {
        let screen = Screen::new(Arc::new(formulary), &knowledge);
        Self { names: Names::of(&knowledge), engine: Engine::new(Arc::new(knowledge)), screen }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// SHA-256 of the knowledge.
    pub fn version(&self) -> &str {
        self.engine.knowledge().version()
    }

    /// What is told about a presentation, with the issues of its medication.
    pub fn assess(&self, presentation: &Presentation) -> Assessment {
        let mut assessment = self.engine.assess(presentation);
        if !presentation.medications.is_empty() {
            let screened = self.screen(presentation);
            assessment.detected_issues = screened.detected_issues;
            assessment.not_checked.extend(screened.not_checked);
        }
        assessment
    }

    /// As [`Self::assess`], without questions and without looking at drugs; where some were told, it says that nobody did.
    pub fn predict(&self, presentation: &Presentation) -> Assessment {
        let mut assessment = self.engine.differentiate(presentation);
        if !presentation.medications.is_empty() {
            let why = "drugs are not screened here: the drug screen does".to_owned();
            assessment.not_checked.push(NotChecked { what: "medications".to_owned(), why });
        }
        assessment
    }

    /// What of the medication does not go together, the gravest first, what could not be checked, and what each drug was
    /// taken for.
    pub fn screen(&self, presentation: &Presentation) -> Screened {
        self.screen.check(presentation)
    }

    /// Which drugs a guideline names for a condition.
    pub fn advise(&self, condition: &Condition, presentation: &Presentation) -> DrugAdvice {
        crate::advise(&self.screen, condition, presentation)
    }

    /// The ids of the ingredients of a drug, by its name or brand; none where it is not known.
    pub fn ingredients(&self, name: &str) -> Vec<String> {
        self.screen.ingredients(name)
    }

    /// The condition of an id, a name or another name; of several that share it the most frequent: a «stroke» is an infarct.
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        let knowledge = self.engine.knowledge();
        let of = |at: ConditionIx| &knowledge.conditions[at.at()];
        let most_frequent =
            || self.names.of_name(name).max_by(|one, other| of(*one).prior.total_cmp(&of(*other).prior));
        knowledge.condition(name).or_else(most_frequent).map(of)
    }
}

/// The name of a field of medicine, as answers have it.
pub fn category_name(category: Category) -> String {
    let name = serde_json::to_value(category).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned()
}
