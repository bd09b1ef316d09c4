//! The crate from outside: known images, and the pool with real processes.

#[cfg(test)]
mod decode;
#[cfg(test)]
mod floats;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transcode;
