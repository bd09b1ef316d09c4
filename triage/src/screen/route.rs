//! Whether what is given reaches the whole body.

use models::formulary::plain;

/// Whether what is given reaches the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    /// It acts where it is put.
    Local,
    /// It does.
    Systemic,
}

/// How words say that a drug is given; where they say both, it reaches the body: a tablet for an infected eye is swallowed.
pub(super) fn route(words: &str) -> Option<Route> {
    let plain = plain(words);
    let words: Vec<&str> = plain.split(' ').collect();
    let mut is_local = false;
    for (at, word) in words.iter().enumerate() {
        // A vaginal tablet and a capsule for inhalation are not swallowed.
        let is_shape_of_local = is_shape(word)
            && (at > 0 && LOCAL.contains(&words[at - 1])
                || words.get(at + 1) == Some(&"for") && words.get(at + 2) == Some(&"inhalation"));
        if SYSTEMIC.contains(word) && !is_shape_of_local {
            return Some(Route::Systemic);
        }
        is_local |= LOCAL.contains(word);
    }
    is_local.then_some(Route::Local)
}

fn is_shape(word: &str) -> bool {
    ["tablet", "tablets", "tab", "tabs", "capsule", "capsules", "cap", "caps", "suppository"].contains(&word)
}

const LOCAL: [&str; 30] = [
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
    "ears",
    "inhaled",
    "inhaler",
    "inhalation",
    "nasal",
    "nose",
    "intranasal",
    "vaginal",
    "vaginally",
    "foam",
    "mouthwash",
    "puff",
    "puffs",
    "nebulised",
    "nebulized",
    "intravitreal",
];

const SYSTEMIC: [&str; 35] = [
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
    "suppository",
    "intraosseous",
    "enteral",
    "ng",
    "subcut",
    "chewable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swallowed_reaches_the_body_whatever_it_is_for() {
        for words in
            ["doxycycline 100 mg tablets for eye infection", "miconazole oral gel", "nasal spray and tablets"]
        {
            assert_eq!(route(words), Some(Route::Systemic), "{words}");
        }
        for words in
            ["timolol eye drops", "otic suspension", "vaginal tablet", "18 mcg capsules for inhalation"]
        {
            assert_eq!(route(words), Some(Route::Local), "{words}");
        }
        assert_eq!(route("amoxicillin suspension"), None);
        assert_eq!(route("astral"), None);
    }
}
