//! What the fuzz targets share. `stow.rs` and `stow/` are links to the service's own, so that no database comes along.

pub mod doors;
pub mod readers;
pub mod stow;

/// Reads `bytes` by the target of that name.
pub fn read(target: &str, bytes: &[u8]) {
    let found = readers::TARGETS.iter().find(|(name, _)| *name == target);
    found.expect("every target is in the table").1(bytes);
}
