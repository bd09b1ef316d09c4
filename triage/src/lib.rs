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

pub use advise::advise;
pub use advisor::{Advisor, category_name};
pub use engine::Engine;
pub use evidence::{Evidence, Season};
pub use normalize::Heard;
pub use question::Asked;
pub use rank::Ranking;
pub use screen::Screen;
