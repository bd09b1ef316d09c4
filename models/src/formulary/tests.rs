use std::collections::HashSet;

use super::*;

fn built_in() -> Formulary {
    Formulary::built_in().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_in_the_box_keeps_every_rule_and_is_large_enough() {
    let formulary = built_in();
    let coded = formulary.ingredients.iter().filter(|ingredient| ingredient.rxcui.is_some()).count();
    assert!(coded >= 280, "{coded} ingredients carry a code");
    let codes: HashSet<_> =
        formulary.ingredients.iter().filter_map(|ingredient| ingredient.rxcui.as_ref()).collect();
    assert_eq!(codes.len(), coded, "no code stands twice");
    assert!(formulary.recommendations.len() >= 80, "{} recommendations", formulary.recommendations.len());
}

#[test]
fn whatever_it_speaks_of_is_known_to_the_knowledge() {
    let knowledge = Knowledge::built_in().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(built_in().faults_against(&knowledge), []);
}

#[test]
fn every_ingredient_has_a_word_for_pregnancy() {
    let formulary = built_in();
    for at in 0..formulary.ingredients.len() {
        let drug = IngredientIx(at as u16);
        assert!(formulary.pregnancy_of(drug).next().is_some(), "{}", formulary.ingredients[at].id);
    }
}

#[test]
fn a_brand_a_synonym_and_a_combination_are_found() {
    let formulary = built_in();
    let acetaminophen = formulary.ingredient("acetaminophen").map(Named::Ingredient);
    assert_eq!(formulary.named("paracetamol"), acetaminophen);
    assert_eq!(formulary.nearly_named("paracetamoll"), acetaminophen);
    let Some(Named::Combination(at)) = formulary.named("augmentin") else { panic!("Augmentin holds two") };
    let held: Vec<_> = formulary.combinations[usize::from(at)].holds.iter().map(|drug| drug.at()).collect();
    let ids: Vec<_> = held.into_iter().map(|at| formulary.ingredients[at].id.as_str()).collect();
    assert_eq!(ids, ["amoxicillin", "clavulanate"]);
}

/// The fifteen of Phansalkar and others (JAMIA 2012, doi:10.1136/amiajnl-2011-000612), a pair of each.
#[test]
fn the_high_priority_interactions_are_held() {
    let formulary = built_in();
    let pairs = [
        ("tranylcypromine", "pseudoephedrine"),
        ("phenelzine", "fluoxetine"),
        ("selegiline", "meperidine"),
        ("isocarboxazid", "sumatriptan"),
        ("amitriptyline", "procarbazine"),
        ("atazanavir", "omeprazole"),
        ("irinotecan", "ketoconazole"),
        ("tizanidine", "ciprofloxacin"),
        ("ramelteon", "fluvoxamine"),
        ("ergotamine", "clarithromycin"),
        ("bosentan", "ritonavir"),
        ("rifampin", "darunavir"),
        ("simvastatin", "itraconazole"),
        ("amiodarone", "sotalol"),
        ("methadone", "haloperidol"),
    ];
    for (one, other) in pairs {
        let (Some(a), Some(b)) = (formulary.ingredient(one), formulary.ingredient(other)) else {
            panic!("{one} and {other}")
        };
        for (a, b) in [(a, b), (b, a)] {
            let grave =
                formulary.interactions_of(a, b).any(|rule| rule.words.severity == IssueSeverity::High);
            assert!(grave, "{one} with {other}");
        }
    }
}

#[test]
fn a_fault_names_file_entry_and_what_to_mend() {
    let texts = [
        ("drugs/ingredients/a.toml", "[aspirin]\nname = \"aspirin\"\n[asa]\nname = \"Aspirin\"\n"),
        (
            "drugs/classes/a.toml",
            "[nsaid]\nname = \"NSAIDs\"\nmembers = [\"aspirin\", \"@nsaid\", \"ibuprofen\"]\n",
        ),
        (
            "drugs/interactions/a.toml",
            "[x]\na = [\"nsaid\"]\nb = [\"warfarin\"]\nabout = \"x\"\nseverity = \"high\"\nmechanism = \"m\"\nmanagement = \"m\"\nsource = \"none\"\n",
        ),
    ];
    let Err(error) = Formulary::from_texts(&texts) else { panic!("it has faults") };
    let told = error.to_string();
    for part in [
        "drugs/classes/a.toml: nsaid: «ibuprofen» is no ingredient",
        "drugs/classes/a.toml: nsaid: «nsaid» lies too deep, or in a circle",
        "drugs/interactions/a.toml: x: «warfarin» is neither an ingredient nor a class",
        "drugs/interactions/a.toml: x: «none» is no source",
        "«aspirin» is another drug's name too",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}
