//! What patients and physicians write, and what it is taken for.

use std::sync::LazyLock;

use clinical::decision::FindingState::{self, Absent, Present};
use clinical::decision::Severity;
use clinical::person::Sex;

use super::*;

static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(|| Knowledge::built_in().unwrap());
static READER: LazyLock<Reader> = LazyLock::new(|| Reader::of(&KNOWLEDGE));

fn read(presentation: &Presentation) -> Heard {
    READER.read(&KNOWLEDGE, presentation)
}

fn story(text: &str) -> Heard {
    read(&Presentation { text: Some(text.to_owned()), ..Presentation::default() })
}

/// A finding's state; it is there where a narrower one is.
fn state(heard: &Heard, id: &str) -> FindingState {
    let wanted = KNOWLEDGE.finding(id).unwrap_or_else(|| panic!("{id}"));
    let is_below = |finding: FindingIx| {
        std::iter::successors(Some(finding), |at| KNOWLEDGE.findings[at.at()].parent).any(|at| at == wanted)
    };
    let narrower = heard.evidence.states().iter().any(|(at, state)| *state == Present && is_below(*at));
    if narrower { Present } else { heard.evidence.state(wanted) }
}

/// Says that a text is heard to hold these findings, `-` for absent ones.
fn holds(text: &str, findings: &[&str]) {
    let heard = story(text);
    for finding in findings {
        let (id, wanted) = finding.strip_prefix('-').map_or((*finding, Present), |id| (id, Absent));
        assert_eq!(state(&heard, id), wanted, "«{text}»: {id} in {:?}", heard.recognised);
    }
}

fn holds_not(text: &str, findings: &[&str]) {
    let heard = story(text);
    for id in findings {
        assert_ne!(state(&heard, id), Present, "«{text}»: {id} in {:?}", heard.recognised);
    }
}

#[test]
fn lay_and_clinical_words_are_understood_in_any_usual_order() {
    holds("I have a sore throat and my nose is running", &["sore-throat", "runny-nose"]);
    holds("dyspnoea and diaphoresis", &["shortness-of-breath", "sweating"]);
    holds("he had chest pain after walking 100 metres", &["chest-pain"]);
    holds("there is pain in his left knee", &["knee-pain"]);
    holds("throwing up since yesterday with loose stools", &["vomiting", "diarrhoea"]);
    holds("blood in the stool", &["blood-in-stool"]);
}

#[test]
fn a_misspelt_word_is_understood_and_a_common_one_is_not_bent() {
    holds("diarrea and headche", &["diarrhoea", "headache"]);
    holds("I am nauseus and vomitting", &["vomiting"]);
    holds_not("my friend visited the house", &["fever", "headache"]);
}

#[test]
fn what_is_denied_is_absent() {
    holds("No fever, no cough", &["-fever", "-cough"]);
    holds("cough without fever, chills or wheezing", &["cough", "-fever", "-wheeze"]);
    holds("He denies chest pain but reports palpitations", &["-chest-pain", "palpitations"]);
    holds("doesn't have a headache", &["-headache"]);
    holds("no fever but a bad cough", &["-fever", "cough"]);
    holds("headache with no relief from tablets", &["headache"]);
}

#[test]
fn a_list_of_denials_denies_all_of_it() {
    let heard = read(&Presentation {
        denies: vec!["No wheezing, No cough, No vomiting or nausea".into(), "fever".into()],
        ..Presentation::default()
    });
    for id in ["wheeze", "cough", "vomiting", "nausea", "fever"] {
        assert_eq!(state(&heard, id), Absent, "{id}");
    }
}

#[test]
fn a_denial_of_one_thing_denies_nothing_beside_it() {
    holds("She has chest pain, her temperature is normal", &["chest-pain"]);
    holds("Bowel sounds normal, severe chest pain", &["chest-pain"]);
    holds("Chest pain, fever none", &["chest-pain", "-fever"]);
    holds("No fever.Severe chest pain", &["-fever", "chest-pain"]);
    holds("no fever, cannot pass urine", &["-fever", "cannot-pass-urine"]);
    holds("She denies being unable to pass urine", &["-cannot-pass-urine"]);
}

#[test]
fn a_denial_ends_where_its_time_or_a_measurement_is_told() {
    holds("no stool for 3 days, belly swollen", &["abdominal-swelling"]);
    holds("no sweat, temp 41, confused", &["-sweating", "confusion"]);
    holds("no fever, cough or chest pain", &["-fever", "-cough", "-chest-pain"]);
}

#[test]
fn a_denial_reaches_over_the_seam_of_a_list_that_is_too_long() {
    let list = "no rash at all on either of the two arms or of the legs, ".repeat(6);
    holds(&format!("Denies {list}chest pain, cough"), &["-chest-pain", "-cough"]);
}

#[test]
fn a_time_or_a_dose_is_no_vital_sign() {
    let vitals = |text: &str| story(text).vitals;
    assert_eq!(vitals("Upper respiratory infection 5 days ago"), Vitals::default());
    assert_eq!(vitals("takes losartan 100/25 mg and Advair 250/50"), Vitals::default());
    assert_eq!(vitals("Heart racing for 30 minutes, HR 160").heart_rate, Some(160.0));
    assert_eq!(vitals("His father had a pulse of 180"), Vitals::default());
    let told = vitals("His father had a stroke, HR 130, 75/40, SpO2 97%");
    assert_eq!((told.heart_rate, told.systolic, told.spo2), (Some(130.0), Some(75.0), Some(97.0)));
}

#[test]
fn an_id_among_the_history_is_no_finding_of_now() {
    let heard = read(&Presentation {
        family_history: vec!["seizure".into()],
        medical_history: vec!["chest-pain".into()],
        social_history: vec!["smoking".into()],
        ..Presentation::default()
    });
    assert_ne!(state(&heard, "seizure"), Present);
    assert_ne!(state(&heard, "chest-pain"), Present);
    assert_eq!(state(&heard, "smoking"), Present);
}

#[test]
fn what_was_once_or_is_kept_off_is_not_named() {
    for text in [
        "I had a heart attack 10 years ago, now a cough",
        "Stroke in 2015, now a cough",
        "Cough. Tetanus is up to date",
        "history of meningitis, now a cough",
        "cough, vaccinated against measles",
        "eats adhesions and consumption of alcohol, cutting onions",
    ] {
        assert_eq!(story(text).evidence.named, [], "{text}");
    }
    let heart_attack = KNOWLEDGE.condition("myocardial-infarction").unwrap();
    assert_eq!(story("I think this is a heart attack").evidence.named, [heart_attack]);
    assert_eq!(story("history of gout, today a heart attack").evidence.named, [heart_attack]);
}

#[test]
fn a_list_of_complaints_is_no_complaint_of_all_of_them() {
    holds("chest pain, cough and fever", &["chest-pain", "cough", "fever"]);
    holds_not("chest pain, cough and fever", &["chest-pain-when-coughing"]);
    holds_not("a sore throat and a swollen lip", &["throat-closing"]);
    let told = Presentation { medical_history: vec!["overdose 2015".into()], ..Presentation::default() };
    assert_ne!(state(&read(&told), "overdose-taken"), Present);
}

#[test]
fn a_phrase_of_common_words_alone_is_not_shrunk_to_them() {
    holds_not("the rash went away", &["neuro-resolved-within-day"]);
    holds_not("it took so much time", &["overdose-taken"]);
}

#[test]
fn weeks_of_a_pregnancy_say_how_far_it_is() {
    let heard = story("33 weeks pregnant with a headache");
    assert_eq!(heard.pregnant, Some(true));
    assert_eq!(state(&heard, "late-pregnancy"), Present);
    assert_eq!(state(&heard, "before-term"), Present);
    assert_eq!(state(&story("39 weeks pregnant"), "before-term"), Absent);
}

#[test]
fn history_and_habits_are_of_the_person() {
    holds("history of hypertension, smoker for 25 years", &["history-hypertension", "smoking"]);
    assert_eq!(story("smoker for 25 years with cough for 3 days").evidence.duration_days, Some(3.0));
    let heard = read(&Presentation {
        medical_history: vec!["diabetes and gout".into(), "asthma".into()],
        ..Presentation::default()
    });
    for id in ["history-diabetes", "history-gout", "history-asthma"] {
        assert_eq!(state(&heard, id), Present, "{id}: {:?}", heard.recognised);
    }
    let asthma = KNOWLEDGE.condition("asthma").unwrap();
    assert!(heard.evidence.known.contains(&asthma));
}

#[test]
fn what_the_patient_calls_it_is_named_and_what_was_once_is_not() {
    let sprain = KNOWLEDGE.condition("ankle-sprain").unwrap();
    assert_eq!(story("sprained ankle, can walk on it").evidence.named, [sprain]);
    assert_eq!(story("no sprained ankle, headache").evidence.named, []);
    let before = Presentation { medical_history: vec!["ankle sprain".into()], ..Presentation::default() };
    assert_eq!(read(&before).evidence.named, []);
}

/// Parents write «my son has»: it is he who is ill.
#[test]
fn a_story_that_is_told_for_a_relative_is_the_relatives() {
    holds("My son has a fever and a stiff neck. He is 5 years old.", &["fever", "neck-stiffness"]);
    holds("Please help, my father has chest pain. He had a heart attack.", &["chest-pain"]);
    holds("my 3 year old daughter had a fit this morning, I have called a doctor", &["seizure"]);
    holds("My mother was found unconscious an hour ago", &["loss-of-consciousness"]);
    holds_not("My father had a heart attack, I have a cough", &["history-heart-attack"]);
    holds_not("My brother has a rash and I have a cough", &["rash"]);
    holds_not("Chest pain, my brother has a rash", &["rash"]);
}

#[test]
fn a_relatives_illness_is_not_the_patients() {
    let heard = story("His father had a heart attack");
    assert_eq!(state(&heard, "family-history-heart-disease"), Present);
    assert_ne!(state(&heard, "history-heart-attack"), Present);
    holds("His mother noticed a rash", &["rash"]);
    holds("Chest pain, his father had a heart attack", &["chest-pain", "family-history-heart-disease"]);
    holds("My mother had gout and I have a cough", &["cough"]);
}

/// What a time is told of, in days; and of all of it.
#[test]
fn a_time_is_of_the_complaint_that_it_stands_beside() {
    let heard = story("Knee pain for 10 years. Since this morning slurred speech.");
    let days = |heard: &Heard, id: &str| heard.evidence.lasting.get(&KNOWLEDGE.finding(id).unwrap()).copied();
    assert_eq!(days(&heard, "knee-pain"), Some(3650.0));
    assert_eq!(days(&heard, "speech-difficulty"), Some(0.4));
    assert_eq!(heard.evidence.shortest_days, None);
    let heard = story("Slurred speech. It has been so for 10 years.");
    assert_eq!(heard.evidence.shortest_days, Some(3650.0));
    let heard = story("Diabetes for 20 years and slurred speech");
    assert_eq!((days(&heard, "speech-difficulty"), heard.evidence.duration_days), (None, None));
    let heard = read(&Presentation {
        symptoms: serde_json::from_str(r#"[{"name": "knee pain", "duration_days": 3650}, "slurred speech"]"#)
            .unwrap(),
        ..Presentation::default()
    });
    assert_eq!((days(&heard, "knee-pain"), days(&heard, "speech-difficulty")), (Some(3650.0), None));
}

#[test]
fn what_happened_once_and_long_ago_is_history() {
    for text in [
        "an overdose 10 years ago, now a cough",
        "Ten years ago she took an overdose of paracetamol. Now a cough",
        "took an overdose of paracetamol about 2 years ago",
    ] {
        holds_not(text, &["overdose-taken"]);
        holds(text, &["history-overdose"]);
    }
    for text in [
        "an overdose 10 minutes ago",
        "took an overdose of tablets that were prescribed 2 years ago",
        "depression since 2 years ago, took an overdose",
        "an overdose 10 years ago and again today",
    ] {
        holds(text, &["overdose-taken"]);
    }
}

#[test]
fn a_later_sentence_tells_more_of_the_pain_before() {
    holds("She has chest pain. It is worse when lying down.", &["chest-pain", "chest-pain-worse-lying"]);
    holds_not("She has knee pain. It is worse when lying down.", &["chest-pain", "chest-pain-worse-lying"]);
}

#[test]
fn pain_that_moves_to_a_place_is_no_pain_of_that_place_alone() {
    holds_not("Abdominal pain radiating to the back", &["back-pain"]);
    holds("Abdominal pain radiating to the back", &["pain-radiating-to-back"]);
}

#[test]
fn age_sex_duration_and_severity_are_read() {
    let heard = story("65 year old Male with severe headache since yesterday");
    assert_eq!(heard.evidence.age, Some(65.0));
    assert_eq!(heard.evidence.sex, Sex::Male);
    assert_eq!(heard.evidence.duration_days, Some(1.0));
    assert_eq!(heard.evidence.severity, Some(Severity::Severe));
}

#[test]
fn measurements_become_findings() {
    holds(
        "Temperature 39.2 C, HR 124, BP 84/50, SpO2 89%",
        &["high-fever", "tachycardia", "hypotension", "low-oxygen"],
    );
    holds("pulse 72, temperature 36.8", &["-tachycardia", "-fever"]);
}

#[test]
fn what_was_not_understood_comes_back() {
    let heard = read(&Presentation {
        symptoms: vec![Symptom::Word("brindled gronkitis".into()), Symptom::Word("cough".into())],
        ..Presentation::default()
    });
    assert_eq!(heard.unmatched, ["brindled gronkitis"]);
    assert!(heard.is_half_understood);
    assert_eq!(state(&heard, "cough"), Present);
}

#[test]
fn what_is_said_both_ways_is_taken_as_there_and_told() {
    let heard = read(&Presentation {
        symptoms: vec![Symptom::Word("fever".into())],
        denies: vec!["fever".into()],
        ..Presentation::default()
    });
    assert_eq!(state(&heard, "fever"), Present);
    assert_eq!(heard.not_checked[0].what, "fever");
}

#[test]
fn odd_texts_are_read_to_their_end() {
    for text in [
        "",
        "....,,,;;;",
        "\u{0}\u{1f600}’’’'",
        "-- no no no not",
        "ÄÖÜ ß’s",
        "1/2/3 99999999999999999999999 days ago",
    ] {
        story(text);
    }
    story(&"no fever but ".repeat(1_500));
}

proptest::proptest! {
    #[test]
    fn no_text_brings_the_reader_down(text in ".{0,200}") {
        story(&text);
    }
}
