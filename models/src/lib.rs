//! What the machine has learned, and from where.
//!
//! Every network has a [`Card`]: what it takes, what it says, for which images
//! it may be asked, what it was trained on and how well it does. The
//! [`Registry`] holds the cards of the box and those of a folder, and gives out
//! weights only after their SHA-256 has proved to be the card's.

mod card;
mod check;
mod eligibility;
mod reference;
mod registry;

pub use card::{
    Card, Channels, Coding, Crop, Input, Label, Outputs, Quality, Quantise, Resize, State, Task, Text, Texts,
    Training,
};
pub use check::CardError;
pub use eligibility::{AgeRange, Eligibility, EligibilityRules, Sex};
pub use reference::{ReferenceError, ReferenceVector, ReferenceVectors};
pub use registry::{Candidate, Registry, RegistryError};
