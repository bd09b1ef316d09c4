//! How a network may be run.

use serde::{Deserialize, Serialize};

/// Numbers that a network may be reckoned in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit floating point (IEEE 754).
    F32,
    /// 16 bits, of which 8 are the exponent.
    Bf16,
}

impl Precision {
    /// The name as cards and runtimes say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// How a network may be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// The numbers that it was found to bear; always `f32`.
    pub precision: Vec<Precision>,
    /// Whether only the backend's exact kernels will do.
    pub exact: bool,
    /// The longest that one image may take, in milliseconds.
    pub time_limit_ms: u64,
    /// The most memory that it may take, in MiB.
    pub memory_limit_mib: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self { precision: vec![Precision::F32], exact: false, time_limit_ms: 30_000, memory_limit_mib: 2048 }
    }
}

impl Run {
    /// Whether it bears these numbers.
    pub fn bears(&self, precision: Precision) -> bool {
        self.precision.contains(&precision)
    }
}
