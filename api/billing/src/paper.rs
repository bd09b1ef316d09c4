//! Paper of A4 as PDF: lines of text and rules, page by page, in letters that the file brings along.

use krilla::Document;
use krilla::color::luma;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::Fill;
use krilla::text::{Font, TextDirection};
use rustybuzz::{Face, UnicodeBuffer};

/// A4 in points (ISO 216: 210 by 297 mm).
const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
/// The left edge of what is written.
pub(crate) const LEFT: f32 = 56.0;
/// The right edge.
pub(crate) const RIGHT: f32 = WIDTH - LEFT;
const TOP: f32 = 64.0;
/// Below it stands the number of the page alone.
const BOTTOM: f32 = HEIGHT - 80.0;
const FOOT: f32 = HEIGHT - 48.0;
/// A file has no more pages: an invoice of the most and longest lines has fewer.
const MOST_PAGES: usize = 200;
/// What stands for a letter that the fonts do not have.
const UNKNOWN: char = '\u{FFFD}';

const REGULAR: &[u8] = include_bytes!("../fonts/NotoSans-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../fonts/NotoSans-Bold.ttf");

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// A font is damaged.
    #[error("a font does not read")]
    Font,
    /// It would be too long.
    #[error("more than {MOST_PAGES} pages")]
    TooLong,
    /// What writes PDF has failed.
    #[error("the file was not written")]
    Written,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// In points.
    pub size: f32,
    pub is_bold: bool,
    /// From 0, black, to 255, white.
    pub grey: u8,
}

impl Look {
    pub(crate) const PLAIN: Self = Self { size: 9.5, is_bold: false, grey: 0 };
    pub(crate) const STRONG: Self = Self { is_bold: true, ..Self::PLAIN };
    pub(crate) const FAINT: Self = Self { size: 8.5, grey: 95, ..Self::PLAIN };
}

/// Something on a page.
#[derive(Debug)]
enum Mark {
    Text { x: f32, y: f32, look: Look, text: String },
    Rule { y: f32 },
}

/// What is being written.
pub(crate) struct Paper {
    faces: [Face<'static>; 2],
    pages: Vec<Vec<Mark>>,
    /// The line that is written next, in points from above.
    pub y: f32,
}

impl Paper {
    /// An empty page.
    pub(crate) fn new() -> Result<Self, PaperError> {
        let face = |bytes| Face::from_slice(bytes, 0).ok_or(PaperError::Font);
        Ok(Self { faces: [face(REGULAR)?, face(BOLD)?], pages: vec![Vec::new()], y: TOP })
    }

    /// Goes on where so many points are left, on the next page if need be; whether it did.
    pub(crate) fn has_turned(&mut self, points: f32) -> bool {
        if self.y + points <= BOTTOM {
            return false;
        }
        self.pages.push(Vec::new());
        self.y = TOP;
        true
    }

    /// Writes from `x` on.
    pub(crate) fn text(&mut self, x: f32, look: Look, text: &str) {
        let (y, text) = (self.y, self.known(look, text));
        self.mark(Mark::Text { x, y, look, text });
    }

    /// Writes so that it ends at `x`.
    pub(crate) fn ends_at(&mut self, x: f32, look: Look, text: &str) {
        let text = self.known(look, text);
        let (x, y) = (x - self.width(look, &text), self.y);
        self.mark(Mark::Text { x, y, look, text });
    }

    /// Draws a rule from edge to edge.
    pub(crate) fn rule(&mut self) {
        let y = self.y;
        self.mark(Mark::Rule { y });
    }

    /// How many pages there are so far.
    #[cfg(test)]
    pub(crate) fn page_count(&self) -> usize {
        self.pages.len()
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    fn face(&self, look: Look) -> &Face<'static> {
        &self.faces[usize::from(look.is_bold)]
    }

    /// The text with what the fonts have; the rest is shown to be missing.
    fn known(&self, look: Look, text: &str) -> String {
        let face = self.face(look);
        text.chars().map(|c| if face.glyph_index(c).is_some() { c } else { UNKNOWN }).collect()
    }

    /// How wide a text is, in points.
    fn width(&self, look: Look, text: &str) -> f32 {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        let face = self.face(look);
        let shaped = rustybuzz::shape(face, &[], buffer);
        let units: i32 = shaped.glyph_positions().iter().map(|it| it.x_advance).sum();
        units as f32 * look.size / face.units_per_em() as f32
    }

    /// The text in lines that are no wider than `points`; a word that is wider is broken.
    pub(crate) fn broken(&self, look: Look, text: &str, points: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            for part in self.pieces(look, word, points) {
                let line = lines.last().map_or("", String::as_str);
                let longer = if line.is_empty() { part.clone() } else { format!("{line} {part}") };
                match lines.last_mut() {
                    Some(last) if last.is_empty() || self.width(look, &longer) <= points => *last = longer,
                    _ => lines.push(part),
                }
            }
        }
        lines
    }

    fn pieces(&self, look: Look, word: &str, points: f32) -> Vec<String> {
        if self.width(look, word) <= points {
            return vec![word.to_owned()];
        }
        let mut pieces = vec![String::new()];
        for c in word.chars() {
            let longer = pieces.last().map_or(String::new(), |it| format!("{it}{c}"));
            match pieces.last_mut() {
                Some(last) if last.is_empty() || self.width(look, &longer) <= points => *last = longer,
                _ => pieces.push(c.to_string()),
            }
        }
        pieces
    }

    /// The file; at the foot of each page stand `name` and the page's number.
    ///
    /// # Errors
    ///
    /// [`PaperError`]
    pub(crate) fn finish(mut self, name: &str, metadata: Metadata) -> Result<Vec<u8>, PaperError> {
        let count = self.pages.len();
        if count > MOST_PAGES {
            return Err(PaperError::TooLong);
        }
        for number in 1..=count {
            let text = self.known(Look::FAINT, &format!("{name}   {number} / {count}"));
            let x = RIGHT - self.width(Look::FAINT, &text);
            self.pages[number - 1].push(Mark::Text { x, y: FOOT, look: Look::FAINT, text });
        }
        let font = |bytes: &'static [u8]| Font::new(bytes.into(), 0).ok_or(PaperError::Font);
        let fonts = [font(REGULAR)?, font(BOLD)?];
        let mut document = Document::new();
        document.set_metadata(metadata);
        for marks in self.pages {
            let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(PaperError::Written)?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for mark in marks {
                match mark {
                    Mark::Text { x, y, look, text } => {
                        surface.set_fill(Some(ink(look.grey)));
                        let font = fonts[usize::from(look.is_bold)].clone();
                        let start = Point::from_xy(x, y);
                        surface.draw_text(start, font, look.size, &text, false, TextDirection::Auto);
                    }
                    Mark::Rule { y } => {
                        let mut path = PathBuilder::new();
                        path.push_rect(Rect::from_ltrb(LEFT, y, RIGHT, y + 0.6).ok_or(PaperError::Written)?);
                        surface.set_fill(Some(ink(170)));
                        surface.draw_path(&path.finish().ok_or(PaperError::Written)?);
                    }
                }
            }
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|_| PaperError::Written)
    }
}

fn ink(grey: u8) -> Fill {
    Fill { paint: luma::Color::new(grey).into(), opacity: NormalizedF32::ONE, ..Fill::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words_and_a_long_word_within() {
        let paper = Paper::new().unwrap();
        let text =
            "Home care visit of two hours, with a change of the dressing and a talk about what comes next";
        let lines = paper.broken(Look::PLAIN, text, 120.0);
        assert!(lines.len() > 2, "{lines:?}");
        assert_eq!(lines.join(" "), text);
        let word = "x".repeat(200);
        let lines = paper.broken(Look::PLAIN, &word, 120.0);
        assert!(lines.iter().all(|line| paper.width(Look::PLAIN, line) <= 120.0), "{lines:?}");
        assert_eq!(lines.concat(), word);
        assert_eq!(paper.broken(Look::PLAIN, "", 120.0), [""]);
    }

    #[test]
    fn a_letter_that_no_font_has_is_shown_to_be_missing() {
        let paper = Paper::new().unwrap();
        assert_eq!(paper.known(Look::PLAIN, "Żółć Ελλάς Привет ₹€ 漢"), "Żółć Ελλάς Привет ₹€ \u{FFFD}");
        assert!(paper.width(Look::STRONG, "Total") > paper.width(Look::PLAIN, "Total"));
    }
}
