//! Objects with known pixels, made in code.

use bytes::Bytes;
use clinical::imaging::{DecodeRequest, Frame};
use part10::{Limits, Part10};
use pixels::{DecodePool, PixelError, PixelLimits, decode};

pub fn read(file: Vec<u8>) -> Part10 {
    Part10::read(Bytes::from(file), &Limits::default()).unwrap()
}

pub fn golden(name: &str) -> Part10 {
    let path = format!("{}/tests/golden/{name}.dcm", env!("CARGO_MANIFEST_DIR"));
    read(std::fs::read(path).unwrap())
}

pub fn frames(object: &Part10) -> Result<Vec<Frame>, PixelError> {
    decode(object, &DecodeRequest::everything(), &PixelLimits::default(), &DecodePool::inline())
}

/// An object under construction, in explicit VR and either byte order.
pub struct ObjectBuilder {
    transfer_syntax: &'static str,
    is_big_endian: bool,
    elements: Vec<u8>,
}

impl ObjectBuilder {
    pub fn little() -> Self {
        Self { transfer_syntax: "1.2.840.10008.1.2.1", is_big_endian: false, elements: Vec::new() }
    }

    pub fn big() -> Self {
        Self { transfer_syntax: "1.2.840.10008.1.2.2", is_big_endian: true, elements: Vec::new() }
    }

    fn short(&self, value: u16) -> [u8; 2] {
        if self.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn head(&mut self, group: u16, element: u16, vr: &str) {
        let (group, element) = (self.short(group), self.short(element));
        self.elements.extend(group);
        self.elements.extend(element);
        self.elements.extend(vr.as_bytes());
    }

    /// An element with a length of 16 bits.
    pub fn element(mut self, group: u16, element: u16, vr: &str, value: &[u8]) -> Self {
        self.head(group, element, vr);
        let length = self.short((value.len() + value.len() % 2) as u16);
        self.elements.extend(length);
        self.elements.extend(value);
        if value.len() % 2 == 1 {
            self.elements.push(b' ');
        }
        self
    }

    /// An OW element: bytes packed in words, the first in the low half.
    pub fn words(mut self, group: u16, element: u16, value: &[u8]) -> Self {
        self.head(group, element, "OW");
        self.elements.extend([0, 0]);
        self.elements.extend((value.len() as u32).to_le_bytes());
        self.elements.extend(value);
        self
    }

    pub fn number(self, group: u16, element: u16, value: u16) -> Self {
        let bytes = self.short(value);
        self.element(group, element, "US", &bytes)
    }

    /// The Image Pixel Module: rows, columns, and bits allocated, stored, signed.
    pub fn image(self, photometric: &str, rows: u16, columns: u16, bits: (u16, u16), signed: u16) -> Self {
        self.multi_frame(photometric, 1, rows, columns, bits, signed, 0)
    }

    #[expect(clippy::too_many_arguments, reason = "one line for each attribute of the module")]
    pub fn multi_frame(
        self,
        photometric: &str,
        frames: u16,
        rows: u16,
        columns: u16,
        (allocated, stored): (u16, u16),
        signed: u16,
        planar: u16,
    ) -> Self {
        let is_single = photometric.starts_with("MONO") || photometric.starts_with("PALETTE");
        self.number(0x28, 0x02, if is_single { 1 } else { 3 })
            .element(0x28, 0x04, "CS", photometric.as_bytes())
            .number(0x28, 0x06, planar)
            .element(0x28, 0x08, "IS", frames.to_string().as_bytes())
            .number(0x28, 0x10, rows)
            .number(0x28, 0x11, columns)
            .number(0x28, 0x0100, allocated)
            .number(0x28, 0x0101, stored)
            .number(0x28, 0x0102, stored - 1)
            .number(0x28, 0x0103, signed)
    }

    /// The whole file, with `pixels` as the value of Pixel Data.
    pub fn pixels(self, vr: &str, pixels: &[u8]) -> Part10 {
        self.pixels_at(0x0010, vr, pixels)
    }

    pub fn pixels_at(mut self, element: u16, vr: &str, pixels: &[u8]) -> Part10 {
        self.head(0x7FE0, element, vr);
        let length = (pixels.len() + pixels.len() % 2) as u32;
        let length = if self.is_big_endian { length.to_be_bytes() } else { length.to_le_bytes() };
        self.elements.extend([0, 0]);
        self.elements.extend(length);
        self.elements.extend(pixels);
        if pixels.len() % 2 == 1 {
            self.elements.push(0);
        }
        self.file()
    }

    pub fn file(self) -> Part10 {
        let mut meta = Vec::new();
        for (element, uid) in
            [(2_u16, "1.2.840.10008.5.1.4.1.1.7"), (3, "1.2.3"), (0x10, self.transfer_syntax)]
        {
            let mut uid = uid.as_bytes().to_vec();
            uid.resize(uid.len().next_multiple_of(2), 0);
            meta.extend([2, 0]);
            meta.extend(element.to_le_bytes());
            meta.extend(b"UI");
            meta.extend((uid.len() as u16).to_le_bytes());
            meta.extend(uid);
        }
        let mut file = vec![0; 128];
        file.extend(b"DICM\x02\0\0\0UL\x04\0");
        file.extend((meta.len() as u32).to_le_bytes());
        file.extend(meta);
        file.extend(self.elements);
        read(file)
    }
}
