//! What the machine has learned, and from where.
//!
//! Every network has a [`Card`]: what it takes, what it says, for which images
//! it may be asked, what it was trained on and how well it does. The
//! [`Registry`] holds the cards of the box and those of a folder, and gives out
//! weights only after their SHA-256 has proved to be the card's.

mod calibrate;
mod card;
mod check;
mod check_tensors;
mod drift;
mod eligibility;
mod external_data;
pub mod formulary;
mod input;
mod knowledge;
mod out_of_distribution;
mod output;
pub mod protobuf;
mod reference;
mod registry;
mod run;
mod source;

pub use clinical::imaging::NetworkState as State;

pub use calibrate::{CalibrateError, Judged, Nearness, Refit, calibrated_version};
pub use card::{Card, ChosenFor, Coding, Label, Quality, Task, Text, Texts, Training};
pub use check::{CardError, sha256};
pub use drift::{LEAST_FOR_DRIFT, stability_index};
pub use eligibility::{AgeRange, Eligibility, EligibilityRules, Sex, SpacingRange};
pub use external_data::ExternalDataError;
pub use formulary::Formulary;
pub use input::{CardWindow, Channels, Crop, Input, Luts, Quantise, Resize};
pub use knowledge::{
    Category, Condition, ConditionIx, Duration, Fault, Finding, FindingIx, FindingKind, Knowledge,
    KnowledgeError, Likelihood, RedFlag, Source,
};
pub use out_of_distribution::{DistanceMeasured, DistanceMethod, OutOfDistributionRule};
pub use output::{Activation, Calibration, Outputs, Platt};
pub use reference::{ReferenceError, ReferenceVector, ReferenceVectors};
pub use registry::{Candidate, Registry, RegistryError, read_network};
pub use run::{Precision, Run};
