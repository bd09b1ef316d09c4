//! Which instructions the kernels use: found at run time, or forced by a setting.

pub(crate) mod lanes;
pub(crate) mod portable;
pub(crate) mod table;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

use crate::error::KernelError;
use table::Table;

/// An instruction set with kernels of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Without intrinsics: what the compiler makes of it (SSE2, NEON and others).
    Portable,
    /// AVX2 with FMA: x86-64 since 2013.
    Avx2,
    /// AVX-512F: 16 numbers a register and 32 registers.
    Avx512,
}

impl Isa {
    /// Every set, the widest first.
    pub const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// The widest set of this processor.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().find(|isa| isa.is_present()).unwrap_or(Isa::Portable)
    }

    /// Whether this processor has the set. [`Isa::Portable`] is everywhere; Miri runs nothing else.
    pub fn is_present(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Isa::Avx512 => is_x86_feature_detected!("avx512f") && Isa::Avx2.is_present(),
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }

    /// Whether products of [`Precision::Bf16`](crate::Precision::Bf16) can be had with it. [`Isa::Portable`] gives them
    /// slowly: for tests, and for whoever must have the same numbers.
    pub fn has_bf16(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Avx2 => false,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Isa::Avx512 => is_x86_feature_detected!("avx512bf16") && self.is_present(),
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            Isa::Avx512 => false,
        }
    }

    /// The kernels of this set.
    ///
    /// # Errors
    ///
    /// [`KernelError::MissingIsa`]: the processor lacks it. No kernel can be reached otherwise, so none ever runs
    /// on a processor that lacks its instructions.
    pub(crate) fn table(self) -> Result<&'static Table, KernelError> {
        if !self.is_present() {
            return Err(KernelError::MissingIsa(self));
        }
        match self {
            Isa::Portable => Ok(&table::PORTABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Ok(&table::AVX2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Ok(&table::AVX512),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => Err(KernelError::MissingIsa(self)),
        }
    }
}

impl Default for Isa {
    fn default() -> Self {
        Isa::best()
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl std::str::FromStr for Isa {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        Isa::ALL.into_iter().find(|isa| isa.to_string() == name).ok_or(KernelError::UnknownIsa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert_eq!("sse9".parse::<Isa>(), Err(KernelError::UnknownIsa));
    }

    #[test]
    fn what_is_missing_is_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.table().is_ok(), isa.is_present());
        }
        assert!(Isa::best().is_present());
    }
}
