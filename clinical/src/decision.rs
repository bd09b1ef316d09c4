//! Symptoms in their context, and what is told about them: a differential, an urgency, advice about drugs.

pub mod advice;
pub mod detected_issue;
pub mod differential;
mod filtration;
pub mod override_reason;
pub mod presentation;
mod told;
pub mod urgency;
pub mod vitals;

pub use advice::{DrugAdvice, DrugLine};
pub use detected_issue::{DetectedIssue, IssueKind, IssueSeverity, NotChecked, Screened, TakenFor};
pub use differential::{Assessment, DifferentialLine, Question, Reason, Recognised, Spoke};
pub use override_reason::OverrideReason;
pub use presentation::{ChildPugh, Drug, Faults, FindingState, Presentation, Severity, Symptom};
pub use urgency::Urgency;
pub use vitals::{Consciousness, Vitals};
