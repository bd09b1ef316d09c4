//! From a presentation to a differential, an urgency and advice about drugs.
//!
//! Pure: values in, values out; no clock, no database, no network.

mod advise;
mod advisor;
mod engine;
pub mod evaluate;
pub mod evidence;
mod explain;
pub mod normalize;
pub mod question;
pub mod rank;
mod red_flags;
mod screen;
mod urgency;
mod vitals;

use std::sync::Arc;

use clinical::decision::{Assessment, Presentation, Question};
use models::Knowledge;

pub use advise::advise;
pub use advisor::{Advisor, category_name};
pub use engine::Engine;
pub use evidence::{Evidence, Season};
pub use normalize::Heard;
pub use question::Asked;
pub use rank::Ranking;
pub use screen::Screen;

/// What is told about a presentation; whoever asks more than once keeps an [`Engine`].
pub fn assess(knowledge: &Knowledge, presentation: &Presentation) -> Assessment {
    Engine::new(Arc::new(knowledge.clone())).assess(presentation)
}

/// What to ask next about a presentation, at most `count` questions; whoever asks more than once keeps an [`Engine`].
pub fn next_questions(knowledge: &Knowledge, presentation: &Presentation, count: usize) -> Vec<Question> {
    Engine::new(Arc::new(knowledge.clone())).next_questions(presentation, count)
}
