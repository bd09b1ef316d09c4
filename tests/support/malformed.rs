//! Malformed DICOM files, made from a seed: the same seed gives the same files.
//!
//! Half of them are made to break one thing, the others are good ones changed at random.

#[path = "malformed/elements.rs"]
mod elements;

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use elements::{encapsulated, even, file, identity, image, long, short};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
const JPEG_XL: &str = "1.2.840.10008.1.2.4.110";

/// A file and what was done to it.
pub struct Malformed {
    pub what: &'static str,
    pub bytes: Vec<u8>,
}

/// Makes one file after the other.
pub struct Generator {
    state: u64,
    good: Vec<Vec<u8>>,
}

impl Generator {
    /// `good` are whole files that are changed at random.
    pub fn new(seed: u64, good: Vec<Vec<u8>>) -> Self {
        // the state must not be zero (Marsaglia's xorshift)
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, good }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// The next file.
    pub fn file(&mut self) -> Malformed {
        if self.below(2) == 0 && !self.good.is_empty() {
            return self.changed();
        }
        let made = [
            Self::length_past_the_end,
            Self::four_gibibytes,
            Self::nested,
            Self::bomb,
            Self::huge_image,
            Self::rle_table,
            Self::palette,
            Self::modality_table,
            Self::nonsense_numbers,
            Self::fragments,
            Self::boundary_text,
            Self::path_as_uid,
            Self::executable,
            Self::bare_meta,
            Self::names,
        ];
        let make = self.of(&made);
        let (what, bytes) = make(self);
        Malformed { what, bytes }
    }

    fn changed(&mut self) -> Malformed {
        let at = self.below(self.good.len());
        let mut bytes = self.good[at].clone();
        let what =
            self.of(&["bytes changed", "cut", "part doubled", "part removed", "cut with an end marker"]);
        let at = self.below(bytes.len());
        let length = self.below(64).min(bytes.len() - at);
        match what {
            "bytes changed" => {
                for _ in 0..=self.below(8) {
                    let at = 132 + self.below(bytes.len().saturating_sub(132));
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = self.of(&[0, 1, 0x7F, 0x80, 0xFF, self.state as u8]);
                    }
                }
            }
            "cut" => bytes.truncate(at),
            "part doubled" => {
                let part = bytes[at..at + length].to_vec();
                bytes.splice(at..at, part);
            }
            "part removed" => drop(bytes.drain(at..at + length)),
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(b"\xFF\xD9\xFE\xFF\xDD\xE0\0\0\0\0");
            }
        }
        Malformed { what, bytes }
    }

    fn length_past_the_end(&mut self) -> (&'static str, Vec<u8>) {
        let length = self.below(1 << 20) as u32 + 100;
        let vr = self.of(&[*b"OB", *b"OW", *b"UN", *b"UT", *b"SQ", *b"OF", *b"ZZ"]);
        let mut set = identity();
        long(&mut set, (0x0029, 0x1010), vr, length, &[0; 40]);
        ("a length past the end", file(EXPLICIT, &set))
    }

    fn four_gibibytes(&mut self) -> (&'static str, Vec<u8>) {
        let length = u32::MAX - self.below(3) as u32;
        let vr = self.of(&[*b"OB", *b"OW", *b"UN", *b"UT", *b"SQ", *b"UC", *b"ZZ"]);
        let tag = self.of(&[(0x0029, 0x1010), (0x7FE0, 0x0010), (0x0028, 0x1201), (0x0008, 0x1140)]);
        let mut set = [identity(), image("MONOCHROME2", (2, 2), (8, 8, 7), 0, "1")].concat();
        long(&mut set, tag, vr, length, &[0; 64]);
        ("4 GiB declared", file(EXPLICIT, &set))
    }

    /// Sequences of undefined and of known length, as SQ and as UN.
    fn nested(&mut self) -> (&'static str, Vec<u8>) {
        let depth = self.of(&[64, 65, 1_200, 20_000]);
        let mut set = identity();
        if self.below(2) == 0 {
            for _ in 0..depth {
                long(&mut set, (0x0008, 0x1140), *b"SQ", u32::MAX, b"\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF");
            }
            return ("nested without end", file(EXPLICIT, &set));
        }
        let depth = depth.min(1_500);
        let mut inner = Vec::new();
        for _ in 0..depth {
            let mut item = b"\x08\0\x40\x11".to_vec();
            item.extend_from_slice(&(inner.len() as u32 + 8).to_le_bytes());
            item.extend_from_slice(b"\xFE\xFF\x00\xE0");
            item.extend_from_slice(&(inner.len() as u32).to_le_bytes());
            item.append(&mut inner);
            inner = item;
        }
        let mut value = b"\xFE\xFF\x00\xE0".to_vec();
        value.extend_from_slice(&(inner.len() as u32).to_le_bytes());
        value.append(&mut inner);
        long(&mut set, (0x0008, 0x1140), *b"UN", value.len() as u32, &value);
        ("nested as UN", file(EXPLICIT, &set))
    }

    fn bomb(&mut self) -> (&'static str, Vec<u8>) {
        let mebibytes = self.of(&[1, 20, 64]);
        let mut set = identity();
        let zeros = vec![self.of(&[0, b'\\']); mebibytes << 20];
        let vr = self.of(&[*b"OB", *b"UC"]);
        long(&mut set, (0x0029, 0x1010), vr, zeros.len() as u32, &zeros);
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflater.write_all(&set).unwrap();
        ("deflate bomb", file(DEFLATED, &deflater.finish().unwrap()))
    }

    /// Codestreams whose headers claim the largest image, and objects that agree or do not.
    fn huge_image(&mut self) -> (&'static str, Vec<u8>) {
        let side = self.of(&[65_535_u16, 20_000, 9_999, 3_000]);
        let (high, low) = ((side >> 8) as u8, side as u8);
        let mut jpeg = b"\xFF\xD8\xFF\xC0\x00\x0B\x08".to_vec();
        jpeg.extend_from_slice(&[high, low, high, low, 1, 1, 0x11, 0]);
        let mut jpeg_ls = b"\xFF\xD8\xFF\xF7\x00\x0B\x08".to_vec();
        jpeg_ls.extend_from_slice(&[high, low, high, low, 1, 1, 0x11, 0]);
        jpeg_ls.extend_from_slice(b"\xFF\xDA\x00\x08\x01\x01\0\0\0\0");
        jpeg_ls.extend(vec![self.of(&[0_u8, 0x7F, 0xAA]); 4_000]);
        let mut jpeg_2000 = b"\xFF\x4F\xFF\x51\x00\x29\0\0".to_vec();
        for word in [u32::from(side), side.into(), 0, 0, side.into(), side.into(), 0, 0] {
            jpeg_2000.extend_from_slice(&word.to_be_bytes());
        }
        jpeg_2000.extend_from_slice(b"\0\x01\x07\x01\x01\xFF\x52\x00\x0C\0\0\0\x01\0\x05\x04\x04\0\x01");
        jpeg_2000.extend_from_slice(
            b"\xFF\x5C\x00\x13\x40\x40\x48\x48\x50\x48\x48\x50\x48\x48\x50\x48\x48\x50\x48\x48\x50",
        );
        jpeg_2000.extend_from_slice(b"\xFF\x90\x00\x0A\0\0\0\0\0\0\0\x01\xFF\x93\0\0\0\0\xFF\xD9");
        let mut lossless = b"\xFF\xD8\xFF\xC3\x00\x0B\x08".to_vec();
        lossless.extend_from_slice(&[high, low, high, low, 1, 1, 0x11, 0]);
        lossless.extend_from_slice(b"\xFF\xC4\x00\x14\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        lossless.extend_from_slice(b"\xFF\xDA\x00\x08\x01\x01\0\x01\0\0");
        lossless.extend(vec![0; self.of(&[0, 4_000, 2_000_000])]);
        let jpeg_xl = [b"\xFF\x0A".to_vec(), self.noise(200)].concat();
        let choices = [
            (JPEG, jpeg),
            (JPEG_LS, jpeg_ls),
            (JPEG_2000, jpeg_2000),
            (JPEG_LOSSLESS, lossless),
            (JPEG_XL, jpeg_xl),
        ];
        let at = self.below(choices.len());
        let (syntax, stream) = &choices[at];
        let claimed = self.of(&[side, side, side, 16]);
        let mut set = [identity(), image("MONOCHROME2", (claimed, claimed), (8, 8, 7), 0, "1")].concat();
        encapsulated(&mut set, &[], &[stream]);
        ("a huge image", file(syntax, &set))
    }

    fn rle_table(&mut self) -> (&'static str, Vec<u8>) {
        let mut frame = vec![0_u8; 64];
        frame[0] = self.of(&[0, 1, 3, 15, 255]);
        frame[3] = self.of(&[0, 0, 255]);
        for word in frame[4..].chunks_exact_mut(4) {
            let offset = self.of(&[0, 63, 64, 65, 70, u32::MAX, 1 << 31]);
            word.copy_from_slice(&offset.to_le_bytes());
        }
        frame.extend(self.noise(300));
        let (colours, bits) = (self.of(&["MONOCHROME2", "RGB"]), self.of(&[8, 16, 32]));
        let mut set = [identity(), image(colours, (9, 9), (bits, bits, bits - 1), 0, "1")].concat();
        encapsulated(&mut set, &[], &[&frame]);
        ("an RLE table", file(RLE, &set))
    }

    fn palette(&mut self) -> (&'static str, Vec<u8>) {
        let mut set = [identity(), image("PALETTE COLOR", (4, 4), (8, 8, 7), 0, "1")].concat();
        for colour in 1..=3 {
            let words =
                [self.of(&[0, 1, 255, 65_535]), self.of(&[0, 200, 65_535]), self.of(&[0, 8, 16, 17, 255])];
            short(&mut set, (0x0028, 0x1100 + colour), *b"US", &words.map(u16::to_le_bytes).concat());
        }
        for colour in 1..=3 {
            let table = self.noise(600);
            long(
                &mut set,
                (0x0028, 0x1200 + colour),
                *b"OW",
                table.len() as u32 & !1,
                &table[..table.len() & !1],
            );
        }
        let pixels: Vec<u8> = (0..16).map(|_| self.next() as u8).collect();
        long(&mut set, (0x7FE0, 0x0010), *b"OB", 16, &pixels);
        ("a palette out of range", file(EXPLICIT, &set))
    }

    fn modality_table(&mut self) -> (&'static str, Vec<u8>) {
        let mut set = [identity(), image("MONOCHROME2", (4, 4), (16, 12, 11), 0, "1")].concat();
        let words = [self.of(&[0, 1, 4_096, 65_535]), self.of(&[0, 40_000]), self.of(&[0, 8, 16, 99])];
        let mut item = Vec::new();
        short(&mut item, (0x0028, 0x3002), *b"US", &words.map(u16::to_le_bytes).concat());
        let table = self.noise(300);
        long(&mut item, (0x0028, 0x3006), *b"OW", table.len() as u32 & !1, &table[..table.len() & !1]);
        let mut value = b"\xFE\xFF\x00\xE0".to_vec();
        value.extend_from_slice(&(item.len() as u32).to_le_bytes());
        value.append(&mut item);
        let tag = self.of(&[(0x0028, 0x3000), (0x0028, 0x3010)]);
        long(&mut set, tag, *b"SQ", value.len() as u32, &value);
        let pixels: Vec<u8> = (0..32).map(|_| self.next() as u8).collect();
        long(&mut set, (0x7FE0, 0x0010), *b"OW", 32, &pixels);
        ("a table out of range", file(EXPLICIT, &set))
    }

    fn nonsense_numbers(&mut self) -> (&'static str, Vec<u8>) {
        let numbers = [0_u16, 1, 3, 7, 8, 16, 31, 32, 64, 255, 65_535];
        let bits = (self.of(&numbers), self.of(&numbers), self.of(&numbers));
        let size = (self.of(&numbers), self.of(&numbers));
        let frames = self.of(&["0", "-1", "4294967295", "99999999999999999999", "NaN", "2", "1\\2", ""]);
        let colours =
            self.of(&["MONOCHROME2", "RGB", "YBR_FULL_422", "YBR_PARTIAL_420", "ARGB", "PALETTE COLOR"]);
        let mut set = [identity(), image(colours, size, bits, self.of(&[0, 1, 2]), frames)].concat();
        let pixels = self.noise(900);
        let syntax = self.of(&[EXPLICIT, EXPLICIT, BIG_ENDIAN, IMPLICIT]);
        long(&mut set, (0x7FE0, 0x0010), self.of(&[*b"OB", *b"OW", *b"UN"]), pixels.len() as u32, &pixels);
        ("numbers without sense", file(syntax, &set))
    }

    fn fragments(&mut self) -> (&'static str, Vec<u8>) {
        let frames = self.of(&["1", "2", "3", "100000"]);
        let mut set = [identity(), image("MONOCHROME2", (4, 4), (8, 8, 7), 0, frames)].concat();
        let count = self.of(&[0, 1, 2, 3, 2_000]);
        let pieces: Vec<Vec<u8>> = (0..count).map(|_| self.noise(9)).collect();
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let offsets: Vec<u32> = (0..self.below(4)).map(|_| self.of(&[0, 1, 8, 20, u32::MAX])).collect();
        encapsulated(&mut set, &offsets, &pieces);
        ("fragments", file(self.of(&[RLE, JPEG, JPEG_LS, JPEG_2000, JPEG_XL, "1.2.3"]), &set))
    }

    fn boundary_text(&mut self) -> (&'static str, Vec<u8>) {
        let mut set = [identity(), image("MONOCHROME2", (1, 64), (8, 8, 7), 0, "1")].concat();
        let mut pixels =
            self.of(&[&b"\r\n--boundary--\r\n"[..], b"\r\n--boundary\r\n\r\n", b"--boundary--"]).to_vec();
        pixels.resize(64, b'-');
        long(&mut set, (0x7FE0, 0x0010), *b"OB", 64, &pixels);
        ("boundary text in pixels", file(EXPLICIT, &set))
    }

    fn path_as_uid(&mut self) -> (&'static str, Vec<u8>) {
        let uid =
            self.of(&["../../../etc/passwd", "/etc/passwd", "1.2/3", "1..2", "%2e%2e", "C:\\x", "1.2\0.3"]);
        let mut set = Vec::new();
        short(&mut set, (0x0008, 0x0016), *b"UI", b"1.2.840.10008.5.1.4.1.1.7\0");
        short(&mut set, (0x0008, 0x0018), *b"UI", &even(uid, 0));
        short(&mut set, (0x0020, 0x000D), *b"UI", &even(self.of(&[uid, "1.2.3"]), 0));
        short(&mut set, (0x0020, 0x000E), *b"UI", &even(self.of(&[uid, "1.2.4"]), 0));
        ("a path as UID", file(EXPLICIT, &set))
    }

    fn executable(&mut self) -> (&'static str, Vec<u8>) {
        let mut set = [identity(), image("MONOCHROME2", (4, 4), (8, 8, 7), 0, "1")].concat();
        long(&mut set, (0x7FE0, 0x0010), *b"OB", 16, &[7; 16]);
        let mut bytes = file(EXPLICIT, &set);
        let magic = self.of(&[
            &b"MZ\x90\0\x03\0\0\0"[..],
            b"\x7FELF\x02\x01\x01\0",
            b"#!/bin/sh\n",
            b"II*\0\x10\0\0\0",
        ]);
        bytes[..magic.len()].copy_from_slice(magic);
        ("an executable preamble", bytes)
    }

    /// Group 2 without its length, without elements, with lengths that lie; no preamble at all.
    fn bare_meta(&mut self) -> (&'static str, Vec<u8>) {
        let mut set = [identity(), image("MONOCHROME2", (4, 4), (8, 8, 7), 0, "1")].concat();
        long(&mut set, (0x7FE0, 0x0010), *b"OB", 16, &[7; 16]);
        let mut bytes = file(EXPLICIT, &set);
        match self.below(4) {
            0 => drop(bytes.drain(132..144)),
            1 => bytes[140..144].copy_from_slice(&u32::MAX.to_le_bytes()),
            2 => drop(bytes.drain(..132)),
            _ => bytes = set,
        }
        ("another group 2", bytes)
    }

    fn names(&mut self) -> (&'static str, Vec<u8>) {
        let mut set = Vec::new();
        let sets =
            ["ISO 2022 IR 87", "\\ISO 2022 IR 149", "GB18030", "ISO_IR 192", "ISO_IR 13", "?", "\\\\\\\\"];
        short(&mut set, (0x0008, 0x0005), *b"CS", &even(self.of(&sets), b' '));
        set.extend(identity());
        let mut name = self.noise(200);
        name.splice(0..0, *self.of(&[b"\x1b$B", b"\x1b$)", b"\x1b(J", b"\x1b$("]));
        name.resize(name.len().next_multiple_of(2), b'\\');
        short(&mut set, (0x0010, 0x0010), *b"PN", &name);
        ("a name", file(EXPLICIT, &set))
    }
}
