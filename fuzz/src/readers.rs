//! What is fuzzed, one function a target: whatever the bytes, they return. The tests of `pixels` replay the corpora by
//! the same functions.

use clinical::imaging::{DecodeRequest, FrameSelection};
use part10::{Limits, Part10, Scan};
use pixels::{
    DecodePool, ENCODERS, PixelLimits, RenderFormat, RenderOptions, decode, encode_frame, render, transcode,
};

/// Name of a target, as its folder in `fuzz/corpus`, and what it reads by.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("prescan", prescan),
    ("dataset", dataset),
    ("native", |bytes| frame("1.2.840.10008.1.2.1", bytes)),
    ("rle", |bytes| frame("1.2.840.10008.1.2.5", bytes)),
    ("jpeg", |bytes| frame("1.2.840.10008.1.2.4.51", bytes)),
    ("jpegls", |bytes| frame("1.2.840.10008.1.2.4.80", bytes)),
    ("jpeg2000", |bytes| frame("1.2.840.10008.1.2.4.90", bytes)),
    ("jpegxl", |bytes| frame("1.2.840.10008.1.2.4.110", bytes)),
];

/// The object's own window, no shrinking.
pub const AS_STORED: RenderOptions =
    RenderOptions { window: None, viewport: None, format: RenderFormat::Png };

/// Small images alone: what is looked for is a wrong step, not a long one.
const LIMITS: PixelLimits = PixelLimits { pixels_per_frame: 1 << 16, frames: 4, decoded_bytes: 1 << 22 };

/// A whole file: layout and header.
pub fn prescan(bytes: &[u8]) {
    let _ = Scan::read(&mut std::io::Cursor::new(bytes), &Limits::default());
}

/// A whole file: its frames, and itself in another transfer syntax.
pub fn dataset(bytes: &[u8]) {
    let Ok(object) = Part10::read(bytes.to_vec().into(), &Limits::default()) else { return };
    painted(&object);
    for to in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"] {
        if let Ok(to) = to.parse() {
            let _ = transcode(&object, &to, &LIMITS, &DecodePool::inline());
        }
    }
}

/// A frame of an image whose module the first eight bytes choose.
pub fn frame(transfer_syntax: &str, bytes: &[u8]) {
    let Some((&[rows, columns, bits, colours, planar, signed, frames, high], stream)) =
        bytes.split_first_chunk()
    else {
        return;
    };
    let allocated = [8_u16, 16, 32, 1][usize::from(bits >> 6)];
    let stored = (u16::from(bits & 31) + 1).min(allocated);
    let colours = ["MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT"][usize::from(colours % 5)];
    let mut set = Vec::new();
    let mut element = |element: u16, vr: &[u8; 2], value: &[u8]| {
        set.extend_from_slice(&[0x28, 0]);
        set.extend_from_slice(&element.to_le_bytes());
        set.extend_from_slice(vr);
        set.extend_from_slice(&(value.len().next_multiple_of(2) as u16).to_le_bytes());
        set.extend_from_slice(value);
        set.resize(set.len().next_multiple_of(2), b' ');
    };
    element(0x02, b"US", &(if colours == "MONOCHROME2" { 1_u16 } else { 3 }).to_le_bytes());
    element(0x04, b"CS", colours.as_bytes());
    element(0x06, b"US", &u16::from(planar & 1).to_le_bytes());
    element(0x08, b"IS", (1 + frames % 3).to_string().as_bytes());
    for (tag, value) in [
        (0x10, u16::from(rows)),
        (0x11, u16::from(columns)),
        (0x100, allocated),
        (0x101, stored),
        (0x102, (stored - 1 + u16::from(high & 1)).min(allocated - 1)),
        (0x103, u16::from(signed & 1)),
    ] {
        element(tag, b"US", &value.to_le_bytes());
    }
    set.extend_from_slice(b"\xE0\x7F\x10\0OB\0\0");
    if transfer_syntax.len() > "1.2.840.10008.1.2.1".len() || transfer_syntax.ends_with(".5") {
        set.extend_from_slice(b"\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\0\0\0\0\xFE\xFF\x00\xE0");
        set.extend_from_slice(&(stream.len() as u32).to_le_bytes());
        set.extend_from_slice(stream);
        set.extend_from_slice(b"\xFE\xFF\xDD\xE0\0\0\0\0");
    } else {
        set.extend_from_slice(&(stream.len() as u32).to_le_bytes());
        set.extend_from_slice(stream);
    }
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM\x02\0\x10\0UI");
    file.extend_from_slice(&(transfer_syntax.len().next_multiple_of(2) as u16).to_le_bytes());
    file.extend_from_slice(transfer_syntax.as_bytes());
    file.resize(file.len().next_multiple_of(2), 0);
    file.append(&mut set);
    if let Ok(object) = Part10::read(file.into(), &Limits::default()) {
        painted(&object);
    }
}

/// Decodes, paints and encodes; what is encoded without loss comes back.
fn painted(object: &Part10) {
    let request = DecodeRequest { frames: FrameSelection::Spread(2), least_size: None };
    let Ok(frames) = decode(object, &request, &LIMITS, &DecodePool::inline()) else { return };
    for frame in &frames {
        let _ = render(frame, &AS_STORED);
    }
    for to in ENCODERS {
        if let Ok(to) = to.parse() {
            let _ = encode_frame(object, 0, &to, &LIMITS, &DecodePool::inline());
        }
    }
}
