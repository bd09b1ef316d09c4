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

/// As in the program: memory that foreign code gives back to another allocator than it came from ends the tests too.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
