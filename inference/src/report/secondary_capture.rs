//! A Secondary Capture: the frame as it looks, under a banner with what the network said burnt into the pixels.
//!
//! The banner stands above the image, so that nothing of it is covered.

use clinical::imaging::ReviewState;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use font8x8::UnicodeFonts;

use super::code::Code;
use super::element::{line, sequence, short, text};
use super::object::{ImageReference, ObjectHead, ReportError, pixel_attributes};

/// What stands in every capture of a finding that no physician has judged.
pub const UNREVIEWED: &str = "NOT FOR DIAGNOSIS UNTIL REVIEWED";

/// Pixels of a letter's edge in the font.
const LETTER: u32 = 8;
/// Pixels of a line, before it grows.
const LINE: u32 = LETTER + 2;
/// So many letters stand in one line.
const LETTERS_PER_LINE: u32 = 40;
/// Most lines.
const LINES_MAX: usize = 16;
/// No capture has a longer side: Rows and Columns are of 16 bits.
const SIDE_MAX: u32 = 65_534;

/// A frame as it looks on a screen: 8 bits.
#[derive(Debug, Clone, Copy)]
pub struct Capture<'a> {
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// 1 for grey, 3 for RGB.
    pub channels: u8,
    /// `rows * columns * channels` of them.
    pub pixels: &'a [u8],
}

/// What a capture is made of.
#[derive(Debug, Clone)]
pub struct SecondaryCapture<'a> {
    /// What every object begins with.
    pub head: ObjectHead<'a>,
    /// The image that is shown.
    pub source: &'a ImageReference,
    /// The frame of it, counted from 0.
    pub frame: u32,
    /// How it looks.
    pub capture: Capture<'a>,
    /// A line a label: what, how surely, and what a physician said of it.
    pub labels: &'a [(String, f64, ReviewState)],
}

impl SecondaryCapture<'_> {
    /// The file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Unfit`] where the pixels do not fill the frame or the frame is too large, [`ReportError::Write`].
    pub fn file(&self) -> Result<Vec<u8>, ReportError> {
        let canvas = Canvas::of(&self.capture, &self.lines())?;
        let mut object = self.head.begin(uids::SECONDARY_CAPTURE_IMAGE_STORAGE, "OT");
        for (tag, word) in [
            (tags::CONVERSION_TYPE, "WSD"),
            (tags::IMAGE_TYPE, "DERIVED\\SECONDARY"),
            (tags::BURNED_IN_ANNOTATION, "YES"),
            (tags::PATIENT_ORIENTATION, ""),
            (tags::LATERALITY, ""),
        ] {
            object.put(text(tag, VR::CS, word));
        }
        object.put(text(tags::DATE_OF_SECONDARY_CAPTURE, VR::DA, self.head.date()));
        object.put(text(tags::TIME_OF_SECONDARY_CAPTURE, VR::TM, self.head.time()));
        object.put(text(tags::DERIVATION_DESCRIPTION, VR::ST, "rendered in 8 bits under a banner"));
        let mut source = self.source.item(Some(self.frame));
        let purpose = Code::dcm("121322", "Source image for image processing operation");
        source.put(sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose.item()]));
        object.put(sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]));

        let is_colour = canvas.channels == 3;
        object.put(short(tags::SAMPLES_PER_PIXEL, u16::from(canvas.channels)));
        let photometric = if is_colour { "RGB" } else { "MONOCHROME2" };
        object.put(text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric));
        if is_colour {
            object.put(short(tags::PLANAR_CONFIGURATION, 0));
        }
        pixel_attributes(&mut object, canvas.rows as u16, canvas.columns as u16, 8);
        let mut pixels = canvas.pixels;
        if pixels.len() % 2 == 1 {
            pixels.push(0);
        }
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)));
        self.head.file(object)
    }

    /// The banner. The warning leaves it only when every label has been judged.
    fn lines(&self) -> Vec<String> {
        let is_open = |(.., state): &&(String, f64, ReviewState)| *state == ReviewState::Open;
        let is_reviewed = !self.labels.is_empty() && !self.labels.iter().any(|label| is_open(&label));
        let first = if is_reviewed { "REVIEWED BY A PHYSICIAN" } else { UNREVIEWED };
        let labels = self.labels.iter().take(LINES_MAX - 2).map(|(meaning, probability, state)| {
            let word = match state {
                ReviewState::Open => "",
                ReviewState::Accepted => " (agreed)",
                ReviewState::Rejected => " (disagreed)",
            };
            let number = format!(" {:.0}%{word}", probability * 100.0);
            let room = LETTERS_PER_LINE as usize - number.chars().count();
            format!("{}{number}", line(meaning, room))
        });
        let model = line(&self.head.model, LETTERS_PER_LINE as usize);
        std::iter::once(first.to_owned()).chain(labels).chain([model]).collect()
    }
}

/// Banner and image.
struct Canvas {
    rows: u32,
    columns: u32,
    channels: u8,
    pixels: Vec<u8>,
}

impl Canvas {
    fn of(capture: &Capture<'_>, lines: &[String]) -> Result<Self, ReportError> {
        let Capture { rows, columns, channels, pixels } = *capture;
        let filled = u64::from(rows) * u64::from(columns) * u64::from(channels);
        if filled == 0 || pixels.len() as u64 != filled || !matches!(channels, 1 | 3) {
            return Err(ReportError::Unfit("the pixels do not fill the frame"));
        }
        let scale = columns.div_ceil(LETTERS_PER_LINE * LETTER * 2).max(1);
        let banner = (lines.len() as u32 * LINE + 2) * scale;
        let wide = columns.max((LETTERS_PER_LINE + 1) * LETTER * scale);
        if wide > SIDE_MAX || rows > SIDE_MAX - banner {
            return Err(ReportError::Unfit("the frame is too large for a capture"));
        }
        let line_bytes = wide as usize * usize::from(channels);
        let mut canvas = Self {
            rows: rows + banner,
            columns: wide,
            channels,
            pixels: vec![0; line_bytes * (rows + banner) as usize],
        };
        for (row, line) in lines.iter().enumerate() {
            for (column, letter) in line.chars().enumerate() {
                let left = (column as u32 * LETTER + LETTER / 2) * scale;
                canvas.letter(letter, left, (row as u32 * LINE + 2) * scale, scale);
            }
        }
        let image_line = columns as usize * usize::from(channels);
        let below = canvas.pixels[line_bytes * banner as usize..].chunks_exact_mut(line_bytes);
        for (to, from) in below.zip(pixels.chunks_exact(image_line)) {
            to[..image_line].copy_from_slice(from);
        }
        Ok(canvas)
    }

    /// White on black; a letter that the font has not is a question mark.
    fn letter(&mut self, letter: char, left: u32, top: u32, scale: u32) {
        let known = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::LATIN_FONTS.get(letter));
        let Some(bits) = known.or_else(|| font8x8::BASIC_FONTS.get('?')) else { return };
        for (y, row) in (0_u32..).zip(bits) {
            for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                self.square(left + x * scale, top + y * scale, scale);
            }
        }
    }

    fn square(&mut self, left: u32, top: u32, side: u32) {
        let channels = usize::from(self.channels);
        let right = (left + side).min(self.columns) as usize * channels;
        let left = left.min(self.columns) as usize * channels;
        let line_bytes = self.columns as usize * channels;
        for y in top..(top + side).min(self.rows) {
            let begin = y as usize * line_bytes;
            self.pixels[begin + left..begin + right].fill(u8::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::tests::{head, image, maker, subject};
    use super::*;

    fn capture(rows: u32, columns: u32, channels: u8, pixels: &[u8]) -> Result<Vec<u8>, ReportError> {
        let (subject, maker, source) = (subject(), maker(), image());
        SecondaryCapture {
            head: head(&subject, &maker),
            source: &source,
            frame: 0,
            capture: Capture { rows, columns, channels, pixels },
            labels: &[("pneumonia".to_owned(), 0.502, ReviewState::Open)],
        }
        .file()
    }

    #[test]
    fn the_image_stands_whole_under_the_banner() {
        for (rows, columns, channels) in [(3, 5, 1), (3, 5, 3), (2, 700, 1)] {
            let pixels: Vec<u8> =
                (0..rows * columns * u32::from(channels)).map(|it| (it % 100) as u8).collect();
            let file = capture(rows, columns, channels, &pixels).unwrap();
            let object = dicom_object::from_reader(&*file).unwrap();
            let number = |tag| object.element(tag).unwrap().to_int::<usize>().unwrap();
            let (all_rows, wide) = (number(tags::ROWS), number(tags::COLUMNS));
            assert_eq!(object.element(tags::BURNED_IN_ANNOTATION).unwrap().to_str().unwrap(), "YES");
            let shown = object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
            let (channels, columns, rows) = (usize::from(channels), columns as usize, rows as usize);
            let image: Vec<u8> = (all_rows - rows..all_rows)
                .flat_map(|row| shown[row * wide * channels..][..columns * channels].to_vec())
                .collect();
            assert_eq!(image, pixels);
            let banner = &shown[..(all_rows - rows) * wide * channels];
            let whites = banner.iter().filter(|value| **value == 255).count();
            // 32 letters of the warning, each of at least eight pixels
            assert!(whites > 32 * 8 * channels, "{whites}");
        }
    }

    #[test]
    fn the_warning_stays_until_every_label_is_judged() {
        let (subject, maker, source) = (subject(), maker(), image());
        let first = |labels: &[(String, f64, ReviewState)]| {
            let capture = Capture { rows: 1, columns: 1, channels: 1, pixels: &[0] };
            SecondaryCapture { head: head(&subject, &maker), source: &source, frame: 0, capture, labels }
                .lines()
        };
        let label =
            |state| ("a label with a name that is longer than a line of the banner".to_owned(), 1.0, state);
        use ReviewState::{Accepted, Open, Rejected};
        assert_eq!(first(&[label(Accepted), label(Open)])[0], UNREVIEWED);
        assert_eq!(first(&[])[0], UNREVIEWED);
        let judged = first(&[label(Accepted), label(Rejected)]);
        assert_ne!(judged[0], UNREVIEWED);
        assert!(judged[2].ends_with(" 100% (disagreed)"), "{judged:?}");
        assert!(judged.iter().all(|line| line.chars().count() <= LETTERS_PER_LINE as usize), "{judged:?}");
    }

    #[test]
    fn pixels_that_do_not_fill_the_frame_are_refused() {
        for (rows, columns, channels, bytes) in
            [(2, 2, 1, 3), (0, 2, 1, 0), (1, 1, 2, 2), (1, 65_535, 1, 65_535)]
        {
            let refused = capture(rows, columns, channels, &vec![0; bytes]);
            assert!(matches!(refused, Err(ReportError::Unfit(_))), "{rows} {columns} {channels}");
        }
    }
}
