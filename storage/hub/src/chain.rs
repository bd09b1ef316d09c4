//! An error with everything that led to it.

use std::error::Error;
use std::fmt;

/// Shows an error and its causes, parted by colons.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        write!(f, "{said}")?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some errors say their cause themselves.
            if !said.contains(&words) {
                write!(f, ": {words}")?;
                said = words;
            }
            cause = error.source();
        }
        Ok(())
    }
}
