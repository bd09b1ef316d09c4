//! From a name or brand to what it means.

use std::collections::HashMap;

use super::IngredientIx;

/// A name must have so many letters before one of them may be wrong: shorter ones lie too near to each other.
const LEAST_LETTERS: usize = 6;

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// One ingredient.
    Ingredient(IngredientIx),
    /// A product of several, as a place in [`super::Formulary::combinations`].
    Combination(u16),
}

/// Names in plain words, and by length for those that are written wrongly.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    exact: HashMap<String, Named>,
    by_length: Vec<Vec<(String, Named)>>,
}

impl Names {
    /// Adds a name; `Err` with what it meant before where that was something else.
    pub(super) fn add(&mut self, name: &str, means: Named) -> Result<(), Named> {
        let words = plain(name);
        match self.exact.get(&words) {
            Some(&before) if before != means => return Err(before),
            Some(_) => return Ok(()),
            None => {}
        }
        let length = words.len();
        if self.by_length.len() <= length {
            self.by_length.resize_with(length + 1, Vec::new);
        }
        self.by_length[length].push((words.clone(), means));
        self.exact.insert(words, means);
        Ok(())
    }

    pub(super) fn exactly(&self, words: &str) -> Option<Named> {
        self.exact.get(words).copied()
    }

    pub(super) fn nearly(&self, words: &str) -> Option<Named> {
        if words.len() < LEAST_LETTERS {
            return None;
        }
        let lengths = words.len() - 1..=words.len() + 1;
        let near = lengths.filter_map(|length| self.by_length.get(length)).flatten();
        let mut means =
            near.filter(|(name, _)| is_one_off(name.as_bytes(), words.as_bytes())).map(|(_, means)| *means);
        let only = means.next()?;
        means.all(|other| other == only).then_some(only)
    }
}

/// Lower case, without marks, with single blanks: `Co-Amoxiclav®` is `co amoxiclav`.
pub fn plain(words: &str) -> String {
    let mut plain = String::with_capacity(words.len());
    let mut blank = false;
    for letter in words.chars().flat_map(char::to_lowercase) {
        let letter = match letter {
            'é' | 'è' | 'ê' => 'e',
            'ï' | 'í' => 'i',
            'ö' | 'ó' => 'o',
            'ü' => 'u',
            'ä' | 'á' | 'à' => 'a',
            'µ' | 'μ' => 'u',
            '\'' | '’' | '®' | '™' => continue,
            other => other,
        };
        if letter.is_alphanumeric()
            || letter == '.' && plain.ends_with(|before: char| before.is_ascii_digit())
        {
            if blank && !plain.is_empty() {
                plain.push(' ');
            }
            blank = false;
            plain.push(letter);
        } else {
            blank = true;
        }
    }
    plain
}

/// Whether a word names the other half of a salt, or how much water it holds.
pub fn is_salt(word: &str) -> bool {
    const SALTS: [&str; 49] = [
        "acetate",
        "acetonide",
        "anhydrous",
        "arginine",
        "axetil",
        "besilate",
        "besylate",
        "bitartrate",
        "bromide",
        "calcium",
        "carbonate",
        "chloride",
        "cilexetil",
        "citrate",
        "dihydrate",
        "dihydrochloride",
        "dipropionate",
        "disodium",
        "disoproxil",
        "ethylsuccinate",
        "fumarate",
        "furoate",
        "gluconate",
        "hcl",
        "hemifumarate",
        "hydrobromide",
        "hydrochloride",
        "lactate",
        "lysine",
        "magnesium",
        "maleate",
        "mesilate",
        "mesylate",
        "mofetil",
        "monohydrate",
        "nitrate",
        "olamine",
        "oxalate",
        "phosphate",
        "potassium",
        "proxetil",
        "sodium",
        "succinate",
        "sulfate",
        "sulphate",
        "tartrate",
        "tosylate",
        "trihydrate",
        "valerate",
    ];
    SALTS.binary_search(&word).is_ok()
}

/// Whether one letter more, less, other, or two neighbours exchanged make the one of the other.
fn is_one_off(one: &[u8], other: &[u8]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short, long) = (&short[same..], &long[same..]);
    match long.len() - short.len() {
        0 if short.is_empty() => true,
        0 => {
            short[1..] == long[1..]
                || short.len() > 1 && short[0] == long[1] && short[1] == long[0] && short[2..] == long[2..]
        }
        1 => short == &long[1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_blanks_do_not_count() {
        assert_eq!(plain("  Co-Amoxiclav® (500/125)"), "co amoxiclav 500 125");
        assert_eq!(plain("St John’s wort"), "st johns wort");
        assert_eq!(plain("Levothyroxine 12.5 µg."), "levothyroxine 12.5 ug.".trim_end_matches('.'));
    }

    #[test]
    fn salts_are_in_order_for_the_search() {
        assert!(["hydrochloride", "acetate", "valerate", "sodium"].into_iter().all(is_salt));
        assert!(!is_salt("amoxicillin"));
    }

    #[test]
    fn one_letter_may_be_wrong_where_only_one_name_is_near() {
        let (warfarin, other) = (Named::Ingredient(IngredientIx(1)), Named::Ingredient(IngredientIx(2)));
        let mut names = Names::default();
        names.add("Warfarin", warfarin).unwrap();
        names.add("prednisone", warfarin).unwrap();
        names.add("prednisole", other).unwrap();
        for wrong in ["warfarrin", "warfain", "wafrarin", "worfarin"] {
            assert_eq!(names.nearly(wrong), Some(warfarin), "{wrong}");
        }
        assert_eq!(names.nearly("prednisoe"), None, "it lies between two");
        assert_eq!(names.nearly("wafarn"), None, "two letters are missing");
    }
}
