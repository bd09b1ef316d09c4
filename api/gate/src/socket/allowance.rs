//! How much a client may say.

use std::time::Instant;

/// A client that goes on after so many refused messages is no client.
const PATIENCE: u32 = 200;

/// How much a client may say: a bucket that fills evenly.
pub(super) struct Allowance {
    per_second: f64,
    left: f64,
    at: Instant,
    refused: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Yes,
    /// No, which it is told.
    No,
    /// No, which it was told a moment ago.
    Silence,
    /// No more at all.
    Never,
}

impl Allowance {
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, left: per_second * 2.0, at: Instant::now(), refused: 0 }
    }

    pub fn take(&mut self) -> Allowed {
        let now = Instant::now();
        let grown = now.duration_since(self.at).as_secs_f64() * self.per_second;
        (self.left, self.at) = ((self.left + grown).min(self.per_second * 2.0), now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            self.refused = 0;
            return Allowed::Yes;
        }
        self.refused += 1;
        match self.refused {
            1 => Allowed::No,
            ..PATIENCE => Allowed::Silence,
            _ => Allowed::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_then_ignored_then_ended() {
        let mut allowance = Allowance::new(1);
        assert_eq!(
            std::iter::repeat_with(|| allowance.take()).take(2).collect::<Vec<_>>(),
            [Allowed::Yes, Allowed::Yes]
        );
        assert_eq!(allowance.take(), Allowed::No);
        let rest: Vec<_> = std::iter::repeat_with(|| allowance.take()).take(PATIENCE as usize).collect();
        assert_eq!(rest[0], Allowed::Silence);
        assert_eq!(rest.last(), Some(&Allowed::Never));
    }
}
