//! Files that others wrote, from four packages: stored and given back byte for byte, metadata and pixels as pydicom
//! reads them, and read by pydicom in every transfer syntax that we write.
//!
//! What fails is listed in `tests/foreign_files.toml` with its reason. A listed failure that is none any more, and one
//! that is not listed, both fail here: `CONFORMANCE.md` shows the same list.

#[cfg(test)]
mod hall;
#[cfg(test)]
mod listed;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod pixels;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod run;
#[cfg(test)]
mod transcoded;
