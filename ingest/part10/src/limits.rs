//! How much of a file is believed.

/// Bounds on what one file may cost. Declared lengths cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sequences within sequences.
    pub depth: u32,
    /// Bytes of a deflated data set after inflation.
    pub inflated_bytes: u64,
    /// Inflated bytes for each deflated byte; DEFLATE itself reaches 1,032.
    pub inflate_ratio: u64,
    /// Inflated bytes that are allowed whatever the ratio.
    pub inflate_floor_bytes: u64,
    /// Bytes of the File Meta Information, group 2.
    pub group2_bytes: u64,
    /// Bytes of the data set before Pixel Data, which are parsed into memory.
    pub header_bytes: u64,
    /// Elements of the whole file, an item counting four, and as many values of split texts; a million of them
    /// cost at most about 400 MiB.
    pub elements: u32,
    /// Fragments of encapsulated Pixel Data.
    pub fragments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 64,
            inflated_bytes: 512 << 20,
            inflate_ratio: 200,
            inflate_floor_bytes: 16 << 20,
            group2_bytes: 1 << 20,
            header_bytes: 64 << 20,
            elements: 1_000_000,
            fragments: 1_000_000,
        }
    }
}
