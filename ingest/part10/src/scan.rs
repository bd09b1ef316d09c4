//! Layout and header of a file, read without copying its pixel data.

use std::io::{Cursor, Read, Seek};
use std::ops::Range;
use std::panic::catch_unwind;

use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTable, InMemDicomObject};

use crate::frames::{self, Extended};
use crate::syntax::{Encoding, is_deflated};
use crate::walk::{Layout, walk};
use crate::window::Window;
use crate::{
    FloatPixelDataAt, Limits, Part10Error, PixelDataAt, dataset, deflate, float_pixel_tag, meta, text,
};

/// A file whose every length has been checked: its header in memory, its pixel data by place.
#[derive(Debug)]
pub struct Scan {
    meta: FileMetaTable,
    transfer_syntax: TransferSyntaxUid,
    data_set_at: u64,
    header: InMemDicomObject,
    pixel_data: Option<PixelDataAt>,
    float_pixels: Option<FloatPixelDataAt>,
    inflated: Option<Bytes>,
    /// How the data set is really written.
    pub(crate) encoding: Encoding,
    /// Where the last element ends, counted as pixel data is.
    pub(crate) data_set_end: u64,
}

impl Scan {
    /// Walks over the whole of `reader`, passing values by seeking, then parses what stands before Pixel Data.
    ///
    /// Any transfer syntax is taken; one that is not known must be Explicit VR Little Endian (PS3.5, section A.4).
    ///
    /// # Errors
    ///
    /// [`Part10Error`] for anything that is not a whole, well-formed file within `limits`.
    pub fn read<R: Read + Seek>(reader: &mut R, limits: &Limits) -> Result<Self, Part10Error> {
        let mut window = Window::open(reader)?;
        let (meta, transfer_syntax, start) = meta::read(&mut window, limits)?;
        let encoding = Encoding::of(&transfer_syntax);
        if !is_deflated(&transfer_syntax) {
            let layout = walk(&mut window, start, encoding, limits)?;
            let bytes = window.copy(start, layout.header_end - start)?;
            return Self::parse(meta, transfer_syntax, start, layout, &bytes, None, limits);
        }
        let deflated_bytes = window.length() - start;
        let inflated = deflate::inflate(window.reader_at(start)?, start, deflated_bytes, limits)?;
        let inflated = Bytes::from(inflated);
        let layout = walk(&mut Window::open(&mut Cursor::new(&inflated))?, 0, encoding, limits)?;
        let bytes = inflated.slice(..layout.header_end as usize);
        Self::parse(meta, transfer_syntax, start, layout, &bytes, Some(inflated), limits)
    }

    /// The bytes that a deflated data set may take in memory while it is read; `None` for any other file.
    ///
    /// Reads the File Meta Information alone, so that the caller can wait for the memory first.
    ///
    /// # Errors
    ///
    /// [`Part10Error`] where that is not readable.
    pub fn inflated_most<R: Read + Seek>(
        reader: &mut R,
        limits: &Limits,
    ) -> Result<Option<u64>, Part10Error> {
        let mut window = Window::open(reader)?;
        let (_, transfer_syntax, start) = meta::read(&mut window, limits)?;
        let deflated_bytes = window.length() - start;
        Ok(is_deflated(&transfer_syntax).then(|| deflate::most(deflated_bytes, limits)))
    }

    fn parse(
        meta: FileMetaTable,
        transfer_syntax: TransferSyntaxUid,
        data_set_at: u64,
        layout: Layout,
        bytes: &[u8],
        inflated: Option<Bytes>,
        limits: &Limits,
    ) -> Result<Self, Part10Error> {
        // the builder decodes text by foreign code, which has to be right for any bytes
        let build = || dataset::build(bytes, layout.encoding, limits);
        let panicked = |_| Err(Part10Error::Malformed { at: 0, what: "a text cannot be decoded" });
        let header = catch_unwind(build).unwrap_or_else(panicked)?;
        let described = float_pixel_tag(&header);
        let is_described = |found: &FloatPixelDataAt| described == Some(found.tag);
        Ok(Self {
            meta,
            transfer_syntax,
            data_set_at,
            header,
            float_pixels: layout.float_pixels.filter(is_described).filter(|_| layout.pixel_data.is_none()),
            pixel_data: layout.pixel_data,
            inflated,
            encoding: layout.encoding,
            data_set_end: layout.end,
        })
    }

    /// The data set without Pixel Data (7FE0,0010), Float and Double Float Pixel Data and what stands behind them.
    pub fn header(&self) -> &InMemDicomObject {
        &self.header
    }

    /// The File Meta Information; texts that the file lacks are empty.
    pub fn meta(&self) -> &FileMetaTable {
        &self.meta
    }

    /// How the data set is written.
    pub fn transfer_syntax(&self) -> &TransferSyntaxUid {
        &self.transfer_syntax
    }

    /// Where the data set starts, behind the File Meta Information, in bytes from the start of the file.
    pub fn data_set_at(&self) -> u64 {
        self.data_set_at
    }

    /// Where Pixel Data (7FE0,0010) lies; `None` where the object has none.
    pub fn pixel_data(&self) -> Option<&PixelDataAt> {
        self.pixel_data.as_ref()
    }

    /// Where floating-point pixels lie; `None` where there are none, where Pixel Data (7FE0,0010) stands beside them,
    /// and where the header describes others ([`float_pixel_tag`]).
    pub fn float_pixels(&self) -> Option<&FloatPixelDataAt> {
        self.float_pixels.as_ref()
    }

    /// Number of Frames (0028,0008); 1 where it is absent or no positive number.
    pub fn frame_count(&self) -> u32 {
        let count = text(&self.header, tags::NUMBER_OF_FRAMES).and_then(|text| text.parse().ok());
        count.unwrap_or(1).max(1)
    }

    /// Where the fragments of frame `index` lie, counted from 0: one by one where there are as many fragments as
    /// frames, all where there is one frame, else by the Extended or the Basic Offset Table.
    ///
    /// Source: DICOM PS3.5, section A.4.
    ///
    /// # Errors
    ///
    /// [`Part10Error::NoSuchFrame`] beyond the last frame and where Pixel Data is not encapsulated;
    /// [`Part10Error::FramesUnclear`] where the file does not say which fragments the frame owns.
    pub fn encapsulated_frame(&self, index: u32) -> Result<Vec<Range<u64>>, Part10Error> {
        let Some(PixelDataAt::Encapsulated { offset_table, fragments }) = &self.pixel_data else {
            return Err(Part10Error::NoSuchFrame);
        };
        let extended = Extended {
            offsets: self.very_longs(tags::EXTENDED_OFFSET_TABLE),
            lengths: self.very_longs(tags::EXTENDED_OFFSET_TABLE_LENGTHS),
        };
        frames::of_frame(index, self.frame_count(), fragments, offset_table, &extended)
    }

    fn very_longs(&self, tag: Tag) -> Vec<u64> {
        self.header.get(tag).and_then(|it| it.to_multi_int().ok()).unwrap_or_default()
    }

    /// True where places count from the start of the inflated data set instead of the file.
    pub fn is_deflated(&self) -> bool {
        self.inflated.is_some()
    }

    /// Where the data set starts, counted as pixel data is.
    pub(crate) fn data_set_start(&self) -> u64 {
        if self.is_deflated() { 0 } else { self.data_set_at }
    }

    /// How the elements of the data set are really written, whatever the transfer syntax says.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Where the data set lies, without zeros that trail it, counted as pixel data is.
    pub fn data_set(&self) -> std::ops::Range<u64> {
        self.data_set_start()..self.data_set_end
    }

    /// The inflated data set of a deflated file.
    pub fn inflated(&self) -> Option<&Bytes> {
        self.inflated.as_ref()
    }
}
