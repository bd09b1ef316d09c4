//! A whole file in memory: its scan and its bytes.

use std::io::Cursor;
use std::ops::Range;

use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::frames::{self, Extended};
use crate::{Limits, Part10Error, PixelDataAt, Scan, text};

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

    /// The bytes of `range` as [`PixelDataAt`] counts them, without a copy; what lies beyond the end is left out.
    pub fn bytes(&self, range: Range<u64>) -> Bytes {
        let all = self.scan.inflated().unwrap_or(&self.bytes);
        let end = range.end.min(all.len() as u64) as usize;
        let start = range.start.min(end as u64) as usize;
        all.slice(start..end)
    }

    /// Number of Frames (0028,0008); 1 where it is absent or no positive number.
    pub fn frame_count(&self) -> u32 {
        let count = text(self.header(), tags::NUMBER_OF_FRAMES).and_then(|text| text.parse().ok());
        count.unwrap_or(1).max(1)
    }

    /// The fragments of frame `index`, counted from 0: one by one where there are as many fragments as frames, all
    /// where there is one frame, else by the Extended or the Basic Offset Table.
    ///
    /// Source: DICOM PS3.5, section A.4.
    ///
    /// # Errors
    ///
    /// [`Part10Error::NoSuchFrame`] beyond the last frame and where Pixel Data is not encapsulated;
    /// [`Part10Error::FramesUnclear`] where the file does not say which fragments the frame owns.
    pub fn encapsulated_frame(&self, index: u32) -> Result<Vec<Bytes>, Part10Error> {
        let Some(PixelDataAt::Encapsulated { offset_table, fragments }) = self.pixel_data() else {
            return Err(Part10Error::NoSuchFrame);
        };
        let extended = Extended {
            offsets: self.very_longs(tags::EXTENDED_OFFSET_TABLE),
            lengths: self.very_longs(tags::EXTENDED_OFFSET_TABLE_LENGTHS),
        };
        let ranges = frames::of_frame(index, self.frame_count(), fragments, offset_table, &extended)?;
        Ok(ranges.into_iter().map(|range| self.bytes(range)).collect())
    }

    fn very_longs(&self, tag: Tag) -> Vec<u64> {
        self.header().get(tag).and_then(|it| it.to_multi_int().ok()).unwrap_or_default()
    }
}
