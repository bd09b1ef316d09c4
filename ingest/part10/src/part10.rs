//! A whole file in memory: its scan and its bytes.

use std::io::Cursor;
use std::ops::Range;

use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use dicom_object::InMemDicomObject;

use crate::{FloatPixelDataAt, Limits, Part10Error, PixelDataAt, Scan};

/// A checked file with its bytes, from which pixel data is sliced without a copy.
#[derive(Debug)]
pub struct Part10 {
    scan: Scan,
    bytes: Bytes,
}

impl Part10 {
    /// Reads a file that lies in memory.
    ///
    /// # Errors
    ///
    /// As [`Scan::read`].
    pub fn read(bytes: Bytes, limits: &Limits) -> Result<Self, Part10Error> {
        let scan = Scan::read(&mut Cursor::new(&bytes), limits)?;
        Ok(Self { scan, bytes })
    }

    /// Layout and header.
    pub fn scan(&self) -> &Scan {
        &self.scan
    }

    /// The bytes of the whole file, as they came.
    pub fn file(&self) -> &Bytes {
        &self.bytes
    }

    /// The data set without Pixel Data.
    pub fn header(&self) -> &InMemDicomObject {
        self.scan.header()
    }

    /// How the data set is written.
    pub fn transfer_syntax(&self) -> &TransferSyntaxUid {
        self.scan.transfer_syntax()
    }

    /// Where Pixel Data (7FE0,0010) lies; `None` where the object has none.
    pub fn pixel_data(&self) -> Option<&PixelDataAt> {
        self.scan.pixel_data()
    }

    /// As [`Scan::float_pixels`].
    pub fn float_pixels(&self) -> Option<&FloatPixelDataAt> {
        self.scan.float_pixels()
    }

    /// The bytes of `range` as [`PixelDataAt`] counts them, without a copy; what lies beyond the end is left out.
    pub fn bytes(&self, range: Range<u64>) -> Bytes {
        let all = self.scan.inflated().unwrap_or(&self.bytes);
        let end = range.end.min(all.len() as u64) as usize;
        let start = range.start.min(end as u64) as usize;
        all.slice(start..end)
    }

    /// As [`Scan::frame_count`].
    pub fn frame_count(&self) -> u32 {
        self.scan.frame_count()
    }

    /// The fragments of frame `index`, counted from 0, as [`Scan::encapsulated_frame`] places them.
    ///
    /// # Errors
    ///
    /// As [`Scan::encapsulated_frame`].
    pub fn encapsulated_frame(&self, index: u32) -> Result<Vec<Bytes>, Part10Error> {
        let ranges = self.scan.encapsulated_frame(index)?;
        Ok(ranges.into_iter().map(|range| self.bytes(range)).collect())
    }
}
