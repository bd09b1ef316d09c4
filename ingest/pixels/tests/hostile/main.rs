//! Whatever a file claims: an answer in bounded time and memory, and this process lives on.

#[cfg(test)]
#[path = "../../../../tests/support/malformed.rs"]
mod malformed;
#[cfg(test)]
#[path = "../../../../fuzz/src/readers.rs"]
mod readers;
#[cfg(test)]
mod run;
