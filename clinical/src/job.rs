//! Work that is asked for now and done later.

use serde::{Deserialize, Serialize};

use crate::id::StudyId;

/// One kind of work with what it needs to know. It names records, never people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Job {
    /// Run every eligible network over a study.
    AnalyzeStudy {
        /// The study.
        study_id: StudyId,
    },
}

impl Job {
    /// The kinds that this program can do; a newer one beside it may enqueue others.
    pub const KINDS: &[&str] = &["analyze_study"];

    /// The stable name of the kind of work.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AnalyzeStudy { .. } => "analyze_study",
        }
    }

    /// What makes two waiting jobs of a kind the same job.
    pub fn key(&self) -> String {
        match self {
            Self::AnalyzeStudy { study_id } => study_id.to_string(),
        }
    }
}

/// How soon a job is wanted; higher runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Work that follows from storing: nobody waits at a screen.
    Routine = 0,
    /// A person asked and waits.
    Urgent = 10,
}
