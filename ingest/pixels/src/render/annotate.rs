//! Text burnt into a picture, for who looks at it without the object (PS3.18, section 8.3.5.1.1).

use font8x8::UnicodeFonts;

use super::Picture;

/// Pixels of a letter's edge in the font.
const LETTER: u32 = 8;
/// At least so many letters stand in one line, before they grow.
const LETTERS_PER_LINE: u32 = 64;
/// Most lines, and letters of one line.
const LINES_MAX: usize = 16;
const LETTERS_MAX: usize = 128;

impl Picture {
    /// Writes lines from the upper left corner down, white on a black edge; what does not fit is cut.
    ///
    /// The font has Latin letters; any other character is a question mark.
    pub fn annotate(&mut self, lines: &[String]) {
        let scale = (self.columns / (LETTERS_PER_LINE * LETTER)).max(1);
        for (row, line) in lines.iter().take(LINES_MAX).enumerate() {
            for (column, letter) in line.chars().take(LETTERS_MAX).enumerate() {
                let left = (column as u32 * LETTER + LETTER / 2) * scale;
                let top = (row as u32 * (LETTER + 2) + LETTER / 2) * scale;
                self.letter(letter, left, top, scale);
            }
        }
    }

    fn letter(&mut self, letter: char, left: u32, top: u32, scale: u32) {
        let basic = font8x8::BASIC_FONTS.get(letter);
        let bits =
            basic.or_else(|| font8x8::LATIN_FONTS.get(letter)).or_else(|| font8x8::BASIC_FONTS.get('?'));
        let Some(bits) = bits else { return };
        let strokes = || {
            let rows = bits.iter().zip(0..LETTER);
            rows.flat_map(|(row, y)| (0..LETTER).filter(move |x| row >> x & 1 == 1).map(move |x| (x, y)))
        };
        for (x, y) in strokes() {
            self.square(left + x * scale, top + y * scale, scale, scale.div_ceil(2), 0);
        }
        for (x, y) in strokes() {
            self.square(left + x * scale, top + y * scale, scale, 0, u8::MAX);
        }
    }

    /// Paints a square and `edge` pixels around it.
    fn square(&mut self, left: u32, top: u32, side: u32, edge: u32, shade: u8) {
        let (from_x, from_y) = (left.saturating_sub(edge), top.saturating_sub(edge));
        let to_x = (left + side + edge).min(self.columns);
        let to_y = (top + side + edge).min(self.rows);
        let channels = usize::from(self.channels);
        for y in from_y..to_y {
            let line = y as usize * self.columns as usize;
            let (from, to) =
                ((line + from_x.min(to_x) as usize) * channels, (line + to_x as usize) * channels);
            self.pixels[from..to].fill(shade);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_white_on_a_black_edge_and_stay_within_the_picture() {
        let mut picture = Picture { columns: 40, rows: 20, channels: 3, pixels: vec![128; 40 * 20 * 3] };
        picture.annotate(&["I".to_owned(), "Ä漢 and much that does not fit".to_owned()]);
        let whites = picture.pixels.iter().filter(|value| **value == 255).count();
        let blacks = picture.pixels.iter().filter(|value| **value == 0).count();
        assert!(whites > 60 && blacks > 60, "{whites} {blacks}");
        let mut tiny = Picture { columns: 1, rows: 1, channels: 1, pixels: vec![7] };
        tiny.annotate(&["A".to_owned()]);
        assert_eq!(tiny.pixels, [7]);
        let mut untouched = picture.clone();
        untouched.annotate(&[]);
        assert_eq!(untouched, picture);
    }
}
