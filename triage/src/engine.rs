//! One knowledge with all that is computed from it once, and what can be asked of it.

use std::sync::Arc;

use clinical::decision::{Assessment, DifferentialLine, Presentation, Question};
use models::Knowledge;

use crate::evidence::Evidence;
use crate::normalize::{Heard, Reader};
use crate::question::Asked;
use crate::rank::{Ranker, Ranking};
use crate::urgency;

/// From which probability on a condition is told.
const LEAST_PROBABILITY: f32 = 0.005;
/// The most conditions that are told.
const LINES: usize = 10;
/// The questions that go with an assessment.
const QUESTIONS: usize = 5;

/// One knowledge, ready to be asked: the tables and the words are computed once.
#[derive(Debug, Clone)]
pub struct Engine {
    knowledge: Arc<Knowledge>,
    ranker: Ranker,
    reader: Reader,
}

impl Engine {
    /// Turns a knowledge into tables; takes some tens of milliseconds, once.
    pub fn new(knowledge: Arc<Knowledge>) -> Self {
        Self { ranker: Ranker::of(&knowledge), reader: Reader::of(&knowledge), knowledge }
    }

    /// The knowledge that answers.
    pub fn knowledge(&self) -> &Arc<Knowledge> {
        &self.knowledge
    }

    /// What a presentation says, in the knowledge's terms.
    pub fn read(&self, presentation: &Presentation) -> Heard {
        self.reader.read(&self.knowledge, presentation)
    }

    /// The posterior of every condition.
    pub fn rank(&self, evidence: &Evidence) -> Ranking {
        self.ranker.rank(evidence)
    }

    /// The `count` findings that are best asked for next, the best first.
    pub fn ask(&self, evidence: &Evidence, ranking: &Ranking, count: usize) -> Vec<Asked> {
        self.ranker.questions(&self.knowledge, evidence, ranking, count)
    }

    /// What to ask next about a presentation, at most `count` questions.
    pub fn next_questions(&self, presentation: &Presentation, count: usize) -> Vec<Question> {
        let heard = self.read(presentation);
        let ranking = self.rank(&heard.evidence);
        self.ranker.in_words(&self.knowledge, &self.ask(&heard.evidence, &ranking, count))
    }

    /// What is told about a presentation: how soon, what it may be and why, what to ask, what was not understood.
    ///
    /// The same presentation has the same answer, to the byte. Drugs are not looked at here ([`crate::screen`] does).
    pub fn assess(&self, presentation: &Presentation) -> Assessment {
        self.told(presentation, QUESTIONS)
    }

    /// As [`Self::assess`], without questions: they cost more than all the rest.
    pub fn differentiate(&self, presentation: &Presentation) -> Assessment {
        self.told(presentation, 0)
    }

    fn told(&self, presentation: &Presentation, questions: usize) -> Assessment {
        let heard = self.read(presentation);
        let ranking = self.rank(&heard.evidence);
        let (urgency, urgency_reasons) = urgency::judge(&self.knowledge, &self.ranker, &heard, &ranking);
        let asked = match questions {
            0 => Vec::new(),
            count => self.ask(&heard.evidence, &ranking, count),
        };
        Assessment {
            urgency,
            urgency_reasons,
            differential: self.lines(&heard, &ranking),
            none_of_these: ranking.none(),
            questions: self.ranker.in_words(&self.knowledge, &asked),
            recognised: heard.recognised,
            unmatched: heard.unmatched,
            ignored: presentation.unread(),
            detected_issues: Vec::new(),
            not_checked: heard.not_checked,
            knowledge_version: self.knowledge.version().to_owned(),
        }
    }

    /// The conditions that are told. Nothing is, where nothing was understood: priors alone are no differential.
    fn lines(&self, heard: &Heard, ranking: &Ranking) -> Vec<DifferentialLine> {
        if !heard.has_complaint(&self.knowledge) {
            return Vec::new();
        }
        let known = self.ranker.known(&heard.evidence, ranking.counted(), ranking);
        let told = ranking.lines().iter().enumerate().take(LINES);
        told.filter(|(at, (_, p))| *at < 3 || *p >= LEAST_PROBABILITY)
            .map(|(_, (condition, _))| self.ranker.explain(&self.knowledge, &known, ranking, *condition))
            .collect()
    }
}
