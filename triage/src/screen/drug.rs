//! From what is said of a drug to its ingredients, dose and route.

use models::formulary::{Formulary, IngredientIx, Named, is_salt, plain};

/// A name has at most so many words.
const LONGEST_NAME: usize = 5;
/// So many words of one drug are read.
const MOST_WORDS: usize = 60;

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
    pub(super) dose_mg: Option<f32>,
    pub(super) times_a_day: Option<f32>,
    pub(super) route: Option<Route>,
    /// An amount in a unit that is none of mass.
    pub(super) other_unit: Option<String>,
}

/// Whether what is given reaches the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    /// It acts where it is put.
    Local,
    /// It does.
    Systemic,
}

/// How a word says that a drug is given.
pub(super) fn route(words: &str) -> Option<Route> {
    const LOCAL: [&str; 27] = [
        "topical",
        "topically",
        "cutaneous",
        "cream",
        "ointment",
        "gel",
        "lotion",
        "shampoo",
        "ophthalmic",
        "eye",
        "eyes",
        "ocular",
        "otic",
        "ear",
        "inhaled",
        "inhaler",
        "inhalation",
        "nasal",
        "nose",
        "vaginal",
        "foam",
        "mouthwash",
        "puff",
        "puffs",
        "nebulised",
        "nebulized",
        "intravitreal",
    ];
    const SYSTEMIC: [&str; 37] = [
        "oral",
        "orally",
        "po",
        "mouth",
        "iv",
        "intravenous",
        "im",
        "intramuscular",
        "sc",
        "subcutaneous",
        "sublingual",
        "buccal",
        "rectal",
        "pr",
        "transdermal",
        "patch",
        "injection",
        "injected",
        "infusion",
        "intrathecal",
        "tablet",
        "tablets",
        "tab",
        "tabs",
        "capsule",
        "capsules",
        "cap",
        "caps",
        "syrup",
        "suspension",
        "solution",
        "suppository",
        "intraosseous",
        "enteral",
        "ng",
        "subcut",
        "chewable",
    ];
    let is_in = |list: &[&str]| plain(words).split(' ').any(|word| list.contains(&word));
    if is_in(&LOCAL) { Some(Route::Local) } else { is_in(&SYSTEMIC).then_some(Route::Systemic) }
}

/// Words that say neither which drug it is nor how much.
fn is_noise(word: &str) -> bool {
    const NOISE: [&str; 62] = [
        "a",
        "after",
        "and",
        "as",
        "at",
        "base",
        "bedtime",
        "before",
        "by",
        "contin",
        "cr",
        "daily",
        "day",
        "days",
        "dose",
        "dr",
        "drops",
        "drug",
        "ec",
        "er",
        "evening",
        "every",
        "extended",
        "food",
        "for",
        "forte",
        "generic",
        "h",
        "hour",
        "hourly",
        "hours",
        "immediate",
        "in",
        "ir",
        "la",
        "low",
        "meals",
        "medication",
        "modified",
        "morning",
        "mr",
        "needed",
        "night",
        "nocte",
        "of",
        "on",
        "once",
        "or",
        "pain",
        "pill",
        "plus",
        "prn",
        "release",
        "required",
        "spray",
        "sr",
        "the",
        "twice",
        "week",
        "weekly",
        "with",
        "xr",
    ];
    word.parse::<f32>().is_ok()
        || NOISE.contains(&word)
        || frequency_word(word).is_some()
        || unit(word).is_some()
        || is_salt(word)
        || route(word).is_some()
}

/// Milligrams of one of a unit; `Some(None)` where the unit is none of mass.
fn unit(word: &str) -> Option<Option<f32>> {
    match word {
        "mg" | "milligram" | "milligrams" => Some(Some(1.0)),
        "g" | "gram" | "grams" | "gm" => Some(Some(1_000.0)),
        "mcg" | "ug" | "microgram" | "micrograms" => Some(Some(0.001)),
        "ml" | "iu" | "unit" | "units" | "u" | "mmol" | "meq" | "drop" | "sachet" | "sachets"
        | "teaspoon" | "ampoule" => Some(None),
        _ => None,
    }
}

fn frequency_word(word: &str) -> Option<f32> {
    match word {
        "od" | "qd" | "qam" | "qhs" | "daily" | "nocte" | "mane" => Some(1.0),
        "bd" | "bid" | "twice" => Some(2.0),
        "tds" | "tid" | "thrice" => Some(3.0),
        "qds" | "qid" => Some(4.0),
        "weekly" => Some(1.0 / 7.0),
        _ => None,
    }
}

/// How often a day, as words say it.
fn frequency(words: &[&str]) -> Option<f32> {
    const NUMBERS: [&str; 7] = ["zero", "one", "two", "three", "four", "five", "six"];
    let number = |word: &str| {
        let spelled = NUMBERS.iter().position(|spelled| *spelled == word).map(|at| at as f32);
        spelled.or_else(|| word.parse().ok()).filter(|number| (1.0..=48.0).contains(number))
    };
    for (at, word) in words.iter().enumerate() {
        let after = |steps: usize| words.get(at + steps).copied().unwrap_or_default();
        if *word == "every" || *word == "q" {
            if let Some(hours) = number(after(1)).filter(|_| after(2).starts_with('h')) {
                return Some(24.0 / hours);
            }
            if after(1) == "week" {
                return Some(1.0 / 7.0);
            }
        }
        if let Some(hours) = word.strip_prefix('q').and_then(|rest| rest.strip_suffix('h')).and_then(number) {
            return Some(24.0 / hours);
        }
        if after(1) == "hourly"
            && let Some(hours) = number(word)
        {
            return Some(24.0 / hours);
        }
        if after(1) == "times"
            && let Some(times) = number(word)
        {
            return Some(if words[at..].contains(&"week") { times / 7.0 } else { times });
        }
        if (*word == "once" || *word == "twice") && words[at..].iter().any(|word| word.starts_with("week")) {
            return Some(if *word == "once" { 1.0 } else { 2.0 } / 7.0);
        }
    }
    let of_words = words.iter().filter(|word| **word != "daily").find_map(|word| frequency_word(word));
    of_words.or_else(|| (words.contains(&"daily") || words.contains(&"day")).then_some(1.0))
}

/// Reads what is said of one drug.
pub(super) fn read(formulary: &Formulary, said: &str) -> Read {
    let mut read = Read { route: route(said), ..Read::default() };
    let words = plain(said);
    if take(formulary, &words, &mut read) {
        return read;
    }
    let split = apart(&words);
    let words: Vec<_> = split.split(' ').filter(|word| !word.is_empty()).take(MOST_WORDS).collect();
    amount(&words, &mut read);
    let mut at = 0;
    let mut after_drug = false;
    while at < words.len() {
        let longest = (at + LONGEST_NAME).min(words.len());
        let found = (at + 1..=longest).rev().find(|&to| {
            let is_half_of_salt = after_drug && to == at + 1 && is_salt(words[at]);
            !is_half_of_salt && take(formulary, &words[at..to].join(" "), &mut read)
        });
        if let Some(to) = found {
            (at, after_drug) = (to, true);
            continue;
        }
        let word = words[at];
        at += 1;
        if is_noise(word) || word == "times" {
            after_drug = after_drug && is_salt(word);
        } else if let Some(named) = formulary.nearly_named(word) {
            add(formulary, named, &mut read);
            read.guessed.push(word.to_owned());
            after_drug = true;
        } else {
            read.unknown.push(word.to_owned());
        }
    }
    read
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

/// A blank between a number and its unit: `500mg` is `500 mg`; thousands written with a comma stand together.
fn apart(words: &str) -> String {
    let mut apart = String::with_capacity(words.len() + 4);
    let mut before = ' ';
    for letter in words.chars() {
        if before.is_ascii_digit() && letter.is_alphabetic() {
            apart.push(' ');
        }
        apart.push(letter);
        before = letter;
    }
    apart
}

/// Finds a dose and how often it is given.
fn amount(words: &[&str], read: &mut Read) {
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<f32>() else { continue };
        match unit(pair[1]) {
            Some(Some(mg)) if read.dose_mg.is_none() => read.dose_mg = Some(number * mg),
            Some(None) if read.other_unit.is_none() => {
                read.other_unit = Some(format!("{} {}", pair[0], pair[1]))
            }
            _ => {}
        }
    }
    read.times_a_day = frequency(words);
}
