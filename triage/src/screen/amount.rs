//! From words to a dose and how often it is given.
//!
//! What is not plainly one dose is none: a dose that was not understood is told as not checked, one that was misread would
//! pass for checked. So every number of the words must have a meaning before any of them counts.

/// A tablet is told of at most so many times at once.
const MOST_PIECES: f32 = 20.0;
/// The most often a day that words are believed.
const MOST_TIMES: f32 = 48.0;
const DAYS_OF_MONTH: f32 = 30.0;

/// What was understood of the words around a drug's name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Amount {
    /// One dose in mg, where the words say one and nothing else.
    pub(super) dose_mg: Option<f32>,
    /// How often a day, where the words say it once.
    pub(super) times_a_day: Option<f32>,
    /// An amount in a unit that is none of mass.
    pub(super) other_unit: Option<String>,
    /// Words about how often that say it of nothing: `three times`.
    pub(super) unknown: Vec<String>,
}

/// Numbers as one can read them: `4,000` is `4000`, `2,5` is `2.5`; `b.i.d.` is `bid`; `500mg` is `500 mg`.
pub(super) fn numbers(said: &str) -> String {
    let letters: Vec<char> = said.chars().collect();
    let is = |at: usize, kind: fn(&char) -> bool| letters.get(at).is_some_and(kind);
    let mut text = String::with_capacity(said.len() + 4);
    for (at, &letter) in letters.iter().enumerate() {
        let is_before = |back: usize, kind: fn(&char) -> bool| at >= back && is(at - back, kind);
        if letter == ',' && is_before(1, char::is_ascii_digit) && is(at + 1, char::is_ascii_digit) {
            let after = letters[at + 1..].iter().take_while(|letter| letter.is_ascii_digit()).count();
            let before = text.len() - text.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
            let is_below_one = before == 1 && text.ends_with('0');
            match after {
                _ if is_below_one => text.push('.'),
                3 => {}
                1 | 2 => text.push('.'),
                _ => text.push(' '),
            }
            continue;
        }
        let is_abbreviated = letter == '.'
            && is_before(1, |it| it.is_alphabetic())
            && !is_before(2, |it| it.is_alphanumeric());
        if is_abbreviated {
            continue;
        }
        if letter.is_alphabetic() && is_before(1, char::is_ascii_digit) {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

/// Milligrams of one of a unit; `Some(None)` where the unit is none of mass.
pub(super) fn unit(word: &str) -> Option<Option<f32>> {
    match word {
        "mg" | "mgs" | "milligram" | "milligrams" => Some(Some(1.0)),
        "g" | "gram" | "grams" | "gm" => Some(Some(1_000.0)),
        "mcg" | "ug" | "microgram" | "micrograms" => Some(Some(0.001)),
        "ml" | "mls" | "l" | "litre" | "iu" | "unit" | "units" | "u" | "mmol" | "meq" | "drop" | "drops"
        | "sachet" | "sachets" | "teaspoon" | "teaspoons" | "spoon" | "ampoule" | "percent" => Some(None),
        _ => None,
    }
}

/// How often a word alone says that a drug is taken a day.
pub(super) fn frequency_word(word: &str) -> Option<f32> {
    match word {
        "od" | "qd" | "daily" | "nightly" => Some(1.0),
        "bd" | "bid" | "twice" => Some(2.0),
        "tds" | "tid" | "thrice" => Some(3.0),
        "qds" | "qid" => Some(4.0),
        "qod" => Some(0.5),
        "hourly" => Some(24.0),
        "weekly" => Some(1.0 / 7.0),
        "fortnightly" => Some(1.0 / 14.0),
        "monthly" => Some(1.0 / DAYS_OF_MONTH),
        _ => None,
    }
}

/// A time of the day at which a drug is taken, as one of four.
fn time_of_day(word: &str) -> Option<usize> {
    match word {
        "mane" | "morning" | "qam" | "breakfast" => Some(0),
        "noon" | "midday" | "lunch" => Some(1),
        "evening" | "qpm" | "dinner" => Some(2),
        "nocte" | "night" | "bedtime" | "qhs" | "hs" => Some(3),
        _ => None,
    }
}

/// Whether a word is about how much or how often, and so names no drug.
pub(super) fn is_about(word: &str) -> bool {
    number(word).is_some()
        || unit(word).is_some()
        || frequency_word(word).is_some()
        || time_of_day(word).is_some()
        || interval(word).is_some()
        || is_piece(word)
        || word.strip_prefix('q').is_some_and(|rest| rest.parse::<u8>().is_ok())
}

/// A number, as digits or as a word.
fn number(word: &str) -> Option<f32> {
    const SPELLED: [&str; 11] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    if let Some(at) = SPELLED.iter().position(|spelled| *spelled == word) {
        return Some(at as f32);
    }
    let number: f32 =
        word.starts_with(|letter: char| letter.is_ascii_digit()).then(|| word.parse().ok())??;
    number.is_finite().then_some(number)
}

/// `1.000` is one to one reader and a thousand to another.
fn has_two_readings(word: &str) -> bool {
    word.split_once('.')
        .is_some_and(|(whole, part)| part.len() == 3 && !whole.trim_start_matches('0').is_empty())
}

fn is_piece(word: &str) -> bool {
    [
        "tablet",
        "tablets",
        "tab",
        "tabs",
        "capsule",
        "capsules",
        "cap",
        "caps",
        "caplet",
        "caplets",
        "pill",
        "pills",
        "puff",
        "puffs",
        "patch",
        "patches",
        "lozenge",
        "lozenges",
        "suppository",
        "suppositories",
        "spray",
        "sprays",
    ]
    .contains(&word)
}

/// Reads the words of one drug; where its name stood they are empty. `said` is how it stood there.
pub(super) fn amount(said: &str, words: &[&str]) -> Amount {
    let mut scan = Scan { words, is_read: vec![false; words.len()] };
    let mut amount = Amount::default();
    let masses = scan.masses(&mut amount.other_unit);
    amount.times_a_day = scan.often(&mut amount.unknown);
    let pieces = scan.pieces();
    let is_plain = !scan.has_more()
        && amount.other_unit.is_none()
        && !words.iter().any(|word| unit(word) == Some(None) || ["kg", "m2", "total", "half"].contains(word));
    let one = match masses.as_slice() {
        [one] if is_plain => *one,
        _ => return amount,
    };
    let are_meant = !said.contains(['(', '=', '½', '¼', '/']);
    amount.dose_mg = match pieces.as_slice() {
        [] | [1.0] => Some(one),
        [count] if are_meant && *count <= MOST_PIECES && count.fract() == 0.0 && *count > 0.0 => {
            Some(one * count)
        }
        _ => None,
    };
    amount.dose_mg = amount.dose_mg.filter(|mg| mg.is_finite() && *mg > 0.0);
    amount
}

/// The words, and which of them have got a meaning.
struct Scan<'a> {
    words: &'a [&'a str],
    is_read: Vec<bool>,
}

impl Scan<'_> {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).copied().unwrap_or_default()
    }

    fn mark(&mut self, at: usize, count: usize) {
        self.is_read.iter_mut().skip(at).take(count).for_each(|is_read| *is_read = true);
    }

    /// A number that has no meaning yet.
    fn number(&self, at: usize) -> Option<f32> {
        number(self.word(at)).filter(|_| !self.is_read[at])
    }

    /// A number, or two of which the second is larger (`4-6`, `4 to 6`): both, and how many words they are.
    fn range(&self, at: usize) -> Option<(f32, f32, usize)> {
        let is_time = |number: &f32| (1.0..=MOST_TIMES).contains(number);
        let low = self.number(at).filter(is_time)?;
        let skip = if ["to", "or"].contains(&self.word(at + 1)) { 2 } else { 1 };
        match self.number(at + skip).filter(is_time) {
            Some(high) if high > low => Some((low, high, skip + 1)),
            _ => Some((low, low, 1)),
        }
    }

    /// The amounts of mass in mg; the first other one is put where it is wished for.
    fn masses(&mut self, other: &mut Option<String>) -> Vec<f32> {
        let mut masses = Vec::new();
        for at in 0..self.words.len().saturating_sub(1) {
            let Some(count) = self.number(at).filter(|_| !has_two_readings(self.word(at))) else { continue };
            match unit(self.word(at + 1)) {
                Some(Some(mg)) if count > 0.0 => masses.push(count * mg),
                Some(None) if other.is_none() => {
                    *other = Some(format!("{} {}", self.word(at), self.word(at + 1)))
                }
                _ => continue,
            }
            self.mark(at, 2);
        }
        masses
    }

    /// How many tablets and the like are taken at once.
    fn pieces(&mut self) -> Vec<f32> {
        let mut pieces = Vec::new();
        for at in 0..self.words.len() {
            if let Some(count) = self.number(at).filter(|_| is_piece(self.word(at + 1))) {
                pieces.push(count);
                self.mark(at, 1);
            }
        }
        pieces
    }

    /// Whether a number other than one has no meaning.
    fn has_more(&self) -> bool {
        (0..self.words.len()).any(|at| self.number(at).is_some_and(|number| number != 1.0))
    }

    /// How often a day, where all words about it say the same.
    fn often(&mut self, unknown: &mut Vec<String>) -> Option<f32> {
        let mut told: Vec<f32> = Vec::new();
        let mut times_of_day = [false; 4];
        let mut at = 0;
        while at < self.words.len() {
            if self.is_read[at] {
                at += 1;
                continue;
            }
            if let Some((often, count)) = self.frequency(at) {
                told.push(often);
                self.mark(at, count);
                at += count;
                continue;
            }
            if let Some(count) = self.length(at) {
                self.mark(at, count);
                at += count;
                continue;
            }
            if let Some((_, _, count)) = self.range(at).filter(|range| self.word(at + range.2) == "times") {
                unknown.push(self.words[at..=at + count].join(" "));
            }
            if let Some(time) = time_of_day(self.word(at)) {
                times_of_day[time] = true;
            }
            at += 1;
        }
        let at_times = times_of_day.iter().filter(|is_told| **is_told).count() as f32;
        let often = match told.as_slice() {
            [] if at_times > 0.0 => at_times,
            [] => return None,
            [one, rest @ ..] if rest.iter().all(|other| other == one) => {
                // Daily, in the morning and at night, is twice.
                if *one == 1.0 { one.max(at_times) } else { *one }
            }
            _ => return None,
        };
        (often > 0.0 && often <= MOST_TIMES).then_some(often)
    }

    /// How often a day the words from here on say, and how many of them do; of a range the more frequent.
    fn frequency(&self, at: usize) -> Option<(f32, usize)> {
        let word = self.word(at);
        if word == "every" || word == "q" {
            return self.every(at + 1).map(|(often, count)| (often, count + 1));
        }
        if let Some(digits) = word.strip_prefix('q').filter(|rest| rest.parse::<u8>().is_ok()) {
            let low: f32 = digits.parse().ok()?;
            let more = usize::from(self.number(at + 1).is_some_and(|high| high > low));
            let days = interval(self.word(at + 1 + more))?;
            return (low > 0.0).then(|| (1.0 / (low * days), 2 + more));
        }
        if word == "alternate" && interval(self.word(at + 1)) == Some(1.0) {
            return Some((0.5, 2));
        }
        let count_of = match word {
            "once" => Some(1.0),
            "twice" => Some(2.0),
            "thrice" => Some(3.0),
            _ => None,
        };
        if let Some(count) = count_of {
            return match self.period(at + 1) {
                Some((days, words)) => Some((count / days, words + 1)),
                None if count > 1.0 => Some((count, 1)),
                None => None,
            };
        }
        if let Some((low, high, words)) = self.range(at) {
            let next = self.word(at + words);
            if next == "hourly" || next == "hrly" {
                return Some((24.0 / low, words + 1));
            }
            if next == "times" || next == "time" || next == "x" {
                let (days, more) = self.period(at + words + 1)?;
                return Some((high / days, words + 1 + more));
            }
            let is_spoken = ["a", "per", "each", "daily"].contains(&next);
            let (days, more) = self.period(at + words).filter(|_| is_spoken)?;
            return Some((high / days, words + more));
        }
        // «for a week» is how long, and «5 days a week» is neither of the two alone.
        let is_other = at > 0 && (self.word(at - 1) == "for" || interval(self.word(at - 1)).is_some());
        let is_each = ["a", "per", "each"].contains(&word) && !is_other;
        let follows_mass = at > 0 && self.is_read[at - 1] && unit(self.word(at - 1)).is_some();
        if is_each || follows_mass && ["day", "week", "d"].contains(&word) {
            return self.period(at).map(|(days, words)| (1.0 / days, words));
        }
        frequency_word(word).map(|often| (often, 1))
    }

    /// What follows `every`.
    fn every(&self, at: usize) -> Option<(f32, usize)> {
        if let Some((low, high, words)) = self.range_of_length(at) {
            let days = interval(self.word(at + words))? * low.min(high);
            return (days > 0.0).then_some((1.0 / days, words + 1));
        }
        if ["other", "second", "alternate"].contains(&self.word(at)) {
            return interval(self.word(at + 1)).map(|days| (0.5 / days, 2));
        }
        interval(self.word(at)).map(|days| (1.0 / days, 1))
    }

    /// Days of a period that follows at once: `daily`, `a day`, `per week`, `every night`; and how many words it is.
    fn period(&self, at: usize) -> Option<(f32, usize)> {
        let skip = usize::from(["a", "per", "each", "every"].contains(&self.word(at)));
        match self.word(at + skip) {
            "daily" | "nightly" if skip == 0 => Some((1.0, 1)),
            "weekly" if skip == 0 => Some((7.0, 1)),
            "monthly" if skip == 0 => Some((DAYS_OF_MONTH, 1)),
            word => {
                let days = interval(word).filter(|days| *days >= 1.0)?;
                // Of two times of a day the first alone is no period.
                (skip == 1 || time_of_day(word).is_none()).then_some((days, skip + 1))
            }
        }
    }

    /// How many words say for how long: `for 5 days`, `14 days`.
    fn length(&self, at: usize) -> Option<usize> {
        let start = usize::from(["for", "over", "x"].contains(&self.word(at)));
        let (_, _, words) = self.range_of_length(at + start)?;
        let is_time = interval(self.word(at + start + words)).is_some()
            || ["year", "years", "minute", "minutes", "min"].contains(&self.word(at + start + words));
        is_time.then_some(start + words + 1)
    }

    fn range_of_length(&self, at: usize) -> Option<(f32, f32, usize)> {
        let low = self.number_at(at)?;
        let skip = if ["to", "or"].contains(&self.word(at + 1)) { 2 } else { 1 };
        match self.number_at(at + skip) {
            Some(high) => Some((low, high, skip + 1)),
            None => Some((low, low, 1)),
        }
    }

    fn number_at(&self, at: usize) -> Option<f32> {
        (at < self.words.len()).then(|| self.number(at)).flatten()
    }
}

/// Days of one of a unit of time.
fn interval(word: &str) -> Option<f32> {
    match word {
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(1.0 / 24.0),
        "d" | "day" | "days" | "morning" | "evening" | "night" | "bedtime" => Some(1.0),
        "w" | "wk" | "wks" | "week" | "weeks" | "monday" | "tuesday" | "wednesday" | "thursday"
        | "friday" | "saturday" | "sunday" => Some(7.0),
        "month" | "months" => Some(DAYS_OF_MONTH),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use models::formulary::plain;

    use super::*;

    fn read(said: &str) -> (Option<f32>, Option<f32>) {
        let text = plain(&numbers(said));
        let words: Vec<&str> = text.split(' ').collect();
        let amount = amount(said, &words);
        (amount.dose_mg, amount.times_a_day.map(|times| (times * 1_000.0).round() / 1_000.0))
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (said, mg) in [
            ("4,000 mg", 4_000.0),
            ("2,5 mg", 2.5),
            ("0,125 mg", 0.125),
            ("1,000,000 mg", 1_000_000.0),
            ("12.5mg", 12.5),
            ("1 g", 1_000.0),
            ("50 mcg", 0.05),
        ] {
            assert_eq!(read(said).0, Some(mg), "{said}");
        }
    }

    #[test]
    fn what_is_not_plainly_one_dose_is_none() {
        for said in [
            "250 mg/5 ml, 20 ml",
            "500 mg morning, 1000 mg nocte",
            "15 mg/kg",
            "2 x 500 mg",
            "500 mg tablets, take 2",
            "500-1000 mg",
            "1000 mg (2 tablets)",
            "500 mg half a tablet",
            "1.000 mg",
            "inf mg",
            "nan mg",
            "0 mg",
            "1 000 mg",
            "500,1000 mg",
            "10 units",
        ] {
            assert_eq!(read(said).0, None, "{said}");
        }
        assert_eq!(read("500 mg, 4 tablets four times a day"), (Some(2_000.0), Some(4.0)));
        assert_eq!(read("500 mg 1-2 tablets four times a day").0, Some(1_000.0));
        assert_eq!(read("1 tablet of 500 mg tds for 5 days"), (Some(500.0), Some(3.0)));
    }

    #[test]
    fn how_long_is_not_how_often() {
        for (said, times) in [
            ("twice daily for 2 weeks", 2.0),
            ("15 mg once daily for one week", 1.0),
            ("15 mg once weekly", 0.143),
            ("15 mg once a week", 0.143),
            ("2 times per week", 0.286),
            ("three times a day for a week", 3.0),
            ("4-6 hourly", 6.0),
            ("every 4 to 6 hours", 6.0),
            ("q8h", 3.0),
            ("q 8 h", 3.0),
            ("q4-6h", 6.0),
            ("b.i.d.", 2.0),
            ("3x daily", 3.0),
            ("every other day", 0.5),
            ("alternate days", 0.5),
            ("10 mg mane and nocte", 2.0),
            ("10 mg daily at night", 1.0),
            ("two to three times a day", 3.0),
            ("20 mg/day", 1.0),
            ("20 mg a day", 1.0),
            ("once every 8 hours", 3.0),
            ("weekly for 4 weeks", 0.143),
            ("twice", 2.0),
            ("every 72 hours", 0.333),
        ] {
            assert_eq!(read(said).1, Some(times), "{said}");
        }
        for said in [
            "three times",
            "for a week",
            "once",
            "twice daily then once daily",
            "for 5 days",
            "10 mg 5 days a week",
            "15 mg once for a week",
        ] {
            assert_eq!(read(said).1, None, "{said}");
        }
    }
}
