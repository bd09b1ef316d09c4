//! From what is said of a drug to its ingredients.

use models::formulary::{Formulary, IngredientIx, Named, is_salt, plain};

use super::amount::{Amount, amount, is_about, numbers};
use super::route::{Route, route};

/// A name has at most so many words.
const LONGEST_NAME: usize = 5;
/// So many words of one drug are read.
pub(super) const MOST_WORDS: usize = 60;
/// A comma, as a word.
const COMMA: &str = ",";
const BETWEEN: &str = " , ";

/// What was understood of a drug's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Read {
    pub(super) ingredients: Vec<IngredientIx>,
    /// Names that were read with one letter changed.
    pub(super) guessed: Vec<String>,
    /// Words that mean nothing here.
    pub(super) unknown: Vec<String>,
    /// What a product holds besides.
    pub(super) also_holds: Vec<String>,
    pub(super) amount: Amount,
    pub(super) route: Option<Route>,
    /// There were more than [`MOST_WORDS`].
    pub(super) is_cut: bool,
}

/// Words that say neither which drug it is nor how much.
fn is_noise(word: &str) -> bool {
    const NOISE: [&str; 64] = [
        "a",
        "after",
        "afternoon",
        "alternate",
        "and",
        "as",
        "at",
        "base",
        "before",
        "by",
        "contin",
        "cr",
        "dose",
        "dr",
        "drops",
        "drug",
        "each",
        "ec",
        "er",
        "every",
        "extended",
        "food",
        "for",
        "generic",
        "half",
        "immediate",
        "in",
        "ir",
        "la",
        "meals",
        "medication",
        "modified",
        "mr",
        "needed",
        "of",
        "on",
        "once",
        "or",
        "other",
        "over",
        "pain",
        "per",
        "prn",
        "q",
        "release",
        "required",
        "second",
        "solution",
        "spray",
        "sr",
        "stat",
        "suspension",
        "take",
        "taken",
        "takes",
        "the",
        "then",
        "time",
        "times",
        "to",
        "total",
        "with",
        "x",
        "xr",
    ];
    NOISE.binary_search(&word).is_ok() || is_about(word) || route(word).is_some()
}

/// Reads what is said of one drug, or of several that stand in one line.
pub(super) fn read(formulary: &Formulary, said: &str) -> Read {
    let mut read = Read { route: route(said), ..Read::default() };
    if take(formulary, &plain(said), &mut read) {
        return read;
    }
    let text = in_parts(said);
    let all: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let words = &all[..all.len().min(MOST_WORDS)];
    read.is_cut = all.len() > MOST_WORDS;
    // Where a name stood nothing is left, so that a number in it is no dose.
    let mut around: Vec<&str> = Vec::with_capacity(words.len());
    let mut at = 0;
    let mut after_drug = false;
    while at < words.len() {
        if words[at] == COMMA {
            // What follows a comma is no salt of what stands before it.
            (at, after_drug) = (at + 1, false);
            continue;
        }
        let longest = (at + LONGEST_NAME).min(words.len());
        let found = (at + 1..=longest).rev().filter(|to| words[to - 1] != COMMA).find(|&to| {
            let is_half_of_salt = after_drug && to == at + 1 && is_salt(words[at]);
            let name: Vec<_> = words[at..to].iter().filter(|word| **word != COMMA).copied().collect();
            !is_half_of_salt && take(formulary, &name.join(" "), &mut read)
        });
        if let Some(to) = found {
            (at, after_drug) = (to, true);
            around.push("");
            continue;
        }
        let word = words[at];
        at += 1;
        around.push(word);
        if is_noise(word) {
            after_drug = false;
        } else if after_drug && is_salt(word) {
            // The other half of the salt: what stands alone is no half of anything, and is not passed by.
        } else if let Some(named) = formulary.nearly_named(word) {
            add(formulary, named, &mut read);
            read.guessed.push(word.to_owned());
            after_drug = true;
        } else {
            read.unknown.push(word.to_owned());
        }
    }
    read.amount = amount(said, &around);
    read.unknown.append(&mut read.amount.unknown);
    read
}

/// The words in plain letters, with [`COMMA`] between the parts that commas and the like divide.
fn in_parts(said: &str) -> String {
    let said = numbers(said);
    let parts: Vec<_> = said.split([',', ';', '+', '&', '\n']).map(plain).collect();
    parts.join(BETWEEN)
}

/// Takes words that are exactly a name.
fn take(formulary: &Formulary, words: &str, read: &mut Read) -> bool {
    let named = formulary.named(words);
    if let Some(named) = named {
        add(formulary, named, read);
    }
    named.is_some()
}

fn add(formulary: &Formulary, named: Named, read: &mut Read) {
    let mut hold = |drug: &IngredientIx| {
        if !read.ingredients.contains(drug) {
            read.ingredients.push(*drug);
        }
    };
    match named {
        Named::Ingredient(drug) => hold(&drug),
        Named::Combination(at) => {
            let product = &formulary.combinations[usize::from(at)];
            product.holds.iter().for_each(hold);
            read.also_holds.extend(product.also_holds.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_name_no_drug_are_in_order_for_the_search() {
        assert!(["after", "with", "x", "take", "prn", "suspension"].into_iter().all(is_noise));
        assert!(!["plus", "forte", "low"].into_iter().any(is_noise), "they say that it is another product");
    }
}
