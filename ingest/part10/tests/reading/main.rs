//! What the reader takes, what it refuses, and that nothing harms it.

#[cfg(test)]
mod files;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod support;
