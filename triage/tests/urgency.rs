//! Cases written for the purpose, from what guidelines of emergency care ask for; none is from a published set.

use std::sync::{Arc, LazyLock};

use clinical::decision::{Presentation, Symptom, Urgency};
use models::Knowledge;
use triage::Engine;

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Arc::new(Knowledge::built_in().expect("the knowledge of the box is read"))));

fn urgency(text: &str) -> Urgency {
    ENGINE.assess(&Presentation { text: Some(text.to_owned()), ..Presentation::default() }).urgency
}

const EMERGENCIES: [&str; 34] = [
    "60 year old man with crushing chest pain for 40 minutes, sweating and nausea",
    "72 year old woman, sudden weakness of the right arm and slurred speech for one hour",
    "35 year old man stung by a wasp, now hives and difficulty breathing",
    "22 year old woman with fever, stiff neck and headache",
    "48 year old with the worst headache of his life that came on within seconds",
    "28 year old pregnant woman with vaginal bleeding and abdominal pain",
    "14 year old boy with sudden testicular pain and vomiting",
    "50 year old man with back pain, numbness between the legs and cannot pass urine",
    "5 week old baby with fever",
    "30 year old woman who took an overdose of paracetamol",
    "19 year old who has thoughts of suicide and a plan",
    "65 year old man vomiting blood, dizzy on standing",
    "70 year old man with sudden tearing chest pain radiating to the back",
    "24 year old woman with missed period, one-sided pelvic pain and fainting",
    "58 year old with shortness of breath at rest and blue lips",
    "66 year old man with sudden loss of vision in one eye",
    "4 year old child drooling with stridor and fever",
    "25 year old diabetic with vomiting, abdominal pain, deep fast breathing and fruity breath",
    "80 year old after a fall with head injury, takes warfarin, now confused",
    "45 year old woman with a swollen left leg, sudden shortness of breath and chest pain",
    "33 weeks pregnant with severe headache and blurred vision",
    "20 year old man with pain that moved to the right lower abdomen, fever and vomiting",
    "55 year old on chemotherapy with fever and chills",
    "77 year old with severe abdominal pain out of proportion and atrial fibrillation",
    "40 year old man with black tarry stools and fainting",
    "17 year old with fever and a rash that does not fade under a glass",
    "62 year old with a cold, pale and painful leg that began suddenly",
    "29 year old returned from Africa with fever, chills and headache",
    "3 year old who swallowed a button battery",
    "60 year old with a red painful eye, halos, blurred vision and vomiting",
    "35 year old with a seizure for the first time",
    "68 year old with fever, confusion and fast breathing",
    "44 year old with lip and tongue swelling",
    "50 year old alcoholic who stopped drinking, now shaking and seeing things",
];

/// As people write who are no physicians, many of them for somebody else.
const IN_LAY_WORDS: [(&str, Urgency); 28] = [
    ("60 year old with knee pain, slurred speech since this morning", Urgency::EmergencyAmbulance),
    ("71M woke up and his mouth hangs on one side, words come out jumbled", Urgency::EmergencyAmbulance),
    (
        "44 yo sudden dizziness, cannot walk straight, double vision since one hour",
        Urgency::EmergencyAmbulance,
    ),
    ("My son has a fever and a stiff neck. He is 5 years old.", Urgency::EmergencyAmbulance),
    ("my mother has chest pain and is sweating, 70 years old", Urgency::EmergencyAmbulance),
    ("my dad is not making sense and has a fever", Urgency::EmergencyAmbulance),
    ("my brother is unconscious", Urgency::EmergencyAmbulance),
    ("My father had a fit this morning", Urgency::Emergency),
    ("8 year old with asthma, cannot finish sentences", Urgency::EmergencyAmbulance),
    ("can't breathe", Urgency::Emergency),
    ("70 year old passed out while walking", Urgency::Emergency),
    ("72 man sudden belly and back pain, faint, known aneurysm", Urgency::EmergencyAmbulance),
    ("came back from Ghana last week and have a high fever", Urgency::Emergency),
    ("30 weeks pregnant, baby hasn't moved since yesterday", Urgency::Emergency),
    ("34 weeks pregnant with a headache", Urgency::Within24Hours),
    ("gave birth 5 days ago, soaking two pads an hour", Urgency::EmergencyAmbulance),
    ("I don't want to live any more", Urgency::Emergency),
    ("my child drank drain cleaner", Urgency::Emergency),
    ("fell off a ladder, neck hurts and arms tingle", Urgency::EmergencyAmbulance),
    ("stabbed in the chest", Urgency::EmergencyAmbulance),
    ("no stool for 3 days, belly swollen, vomiting green", Urgency::Emergency),
    ("heat all day on a roof, no sweat, temp 41, talking nonsense", Urgency::EmergencyAmbulance),
    ("newborn 10 days old, yellow and sleepy, won't feed", Urgency::Emergency),
    ("25 year old with flashes and a curtain over one eye", Urgency::Emergency),
    ("my blood sugar is 30 mmol/l and I vomit", Urgency::Emergency),
    ("painful erection for 5 hours", Urgency::Emergency),
    ("red hot swollen knee and fever 38.9", Urgency::Emergency),
    ("30 year old woman who takes carbimazole, sore throat", Urgency::Within24Hours),
];

const NO_EMERGENCIES: [&str; 18] = [
    "30 year old man with a rash on the arm, the rash went away",
    "28 year old woman with a dry cough; there is a gas heater at home",
    "24 year old man with a sore throat and a swollen lip",
    "29 year old woman, mild chest pain when coughing, cough, runny nose and fever for 2 days",
    "45 year old woman with back pain, leaks urine when she coughs",
    "26 year old woman with cold hands and feet for years",
    "35 year old man with hives and mild dizziness",
    "50 year old man, hoarse with a sore throat and trouble speaking for 3 days",
    "21 year old man with a runny nose; his temperature is normal",
    "52 year old woman with a cough, she had a stroke in 2015",
    "19 year old man with a small cut on the finger, tetanus is up to date",
    "40 year old woman with foggy thinking, tiredness and a fever of 38.1 for a day",
    "60 year old man with many new floaters since yesterday",
    "30 year old with a cough since this morning",
    "25 year old man, nausea since this morning",
    "My father had a stroke. I have a runny nose, 33 years old",
    "31 year old woman, cannot breathe through her nose, sneezing",
    "I have given my daughter paracetamol for her cold, she is 6 years old",
];

const SELF_CARE: [&str; 12] = [
    "25 year old man with runny nose, sneezing and mild sore throat for 2 days",
    "30 year old woman with hay fever, itchy eyes and sneezing every spring",
    "22 year old with a mild sunburn",
    "35 year old man with athlete's foot, itching between the toes",
    "28 year old with a cold sore on the lip",
    "40 year old with mild heartburn after eating for 3 days",
    "20 year old with mosquito bites that itch",
    "27 year old woman with mild constipation for 3 days",
    "33 year old with a runny nose and cough for 3 days, no fever",
    "45 year old with low back pain for 2 days after lifting a box",
    "24 year old with diarrhoea since yesterday, no blood, no fever",
    "19 year old with a mild hangover headache",
];

#[test]
fn every_emergency_is_told_as_one() {
    let missed: Vec<_> = EMERGENCIES.iter().filter(|text| !urgency(text).is_emergency()).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_danger_in_lay_words_is_one() {
    let missed: Vec<_> = IN_LAY_WORDS.iter().filter(|(text, least)| urgency(text) < *least).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// What is new brings somebody, though something old is told beside it.
#[test]
fn an_old_complaint_beside_a_stroke_sends_no_later_help() {
    let symptoms =
        r#"[{"name": "slurred speech", "duration_days": 0.2}, {"name": "knee pain", "duration_days": 3000}]"#;
    let symptoms = serde_json::from_str(symptoms).unwrap();
    let told = Presentation { symptoms, age: Some(60.0), ..Presentation::default() };
    assert_eq!(ENGINE.assess(&told).urgency, Urgency::EmergencyAmbulance);
}

#[test]
fn what_heals_by_itself_is_mostly_no_emergency_and_often_needs_nobody() {
    let levels: Vec<_> = SELF_CARE.iter().map(|text| (urgency(text), *text)).collect();
    let alarmed: Vec<_> = levels.iter().filter(|(level, _)| level.is_emergency()).collect();
    assert!(alarmed.is_empty(), "{alarmed:#?}");
    let at_home = levels.iter().filter(|(level, _)| *level == Urgency::SelfCare).count();
    assert!(at_home * 2 >= SELF_CARE.len(), "{at_home} of {}: {levels:#?}", SELF_CARE.len());
}

/// Each was an emergency to a rule that asked too little.
#[test]
fn what_only_sounds_alike_is_no_emergency() {
    let alarmed: Vec<_> = NO_EMERGENCIES.iter().filter(|text| urgency(text).is_emergency()).collect();
    assert!(alarmed.is_empty(), "{alarmed:#?}");
}

#[test]
fn every_danger_that_is_named_says_so() {
    let text = Some("I think it is meningitis or a stroke".to_owned());
    let told = ENGINE.assess(&Presentation { text, ..Presentation::default() });
    let named: Vec<_> = told.urgency_reasons.iter().filter(|it| it.rule.starts_with("named-")).collect();
    assert_eq!(named.len(), 2, "{:?}", told.urgency_reasons);
}

/// An old complaint silences no rule about a new one, and a relative's illness takes nothing away.
#[test]
fn what_stands_beside_a_danger_does_not_hide_it() {
    for (text, least) in [
        ("60 year old. Knee pain for 10 years. Since this morning slurred speech.", Urgency::Emergency),
        ("60 year old. Knee pain for 10 years. Slurred speech.", Urgency::Emergency),
        ("60 year old. Diabetes for 20 years, slurred speech", Urgency::Emergency),
        ("My newborn has a fever of 38.6 and is feeding poorly", Urgency::Emergency),
        ("60 year old man, weakness, his father had a stroke, HR 130, BP 75/40", Urgency::Emergency),
        ("60 year old man. Weakness. HR 130, 75/40, SpO2 97%", Urgency::Emergency),
    ] {
        assert!(urgency(text) >= least, "{text}: {:?}", urgency(text));
    }
    assert!(!urgency("60 year old. Slurred speech for 10 years").is_emergency());
    assert!(!urgency("25 year old woman with a runny nose, an overdose 10 years ago").is_emergency());
}

#[test]
fn a_rule_for_adults_holds_where_no_age_is_told() {
    assert_eq!(urgency("crushing chest pain"), Urgency::EmergencyAmbulance);
}

#[test]
fn a_denied_symptom_raises_no_flag() {
    let denied = urgency(
        "25 year old man with a runny nose. No chest pain, no sweating, no shortness of breath, no stiff neck",
    );
    assert!(!denied.is_emergency());
}

#[test]
fn nobody_is_sent_home_because_nothing_was_understood() {
    let assessment = ENGINE.assess(&Presentation {
        symptoms: vec![Symptom::Word("brindled gronkitis".into())],
        age: Some(30.0),
        ..Presentation::default()
    });
    assert!(assessment.urgency >= Urgency::Consultation);
    assert_eq!(assessment.unmatched, ["brindled gronkitis"]);
    assert!(assessment.differential.is_empty());
    assert!(ENGINE.assess(&Presentation::default()).urgency >= Urgency::Consultation);
}

#[test]
fn an_infant_is_seen_within_the_day_whatever_it_has() {
    assert!(urgency("a 6 week old baby with a runny nose") >= Urgency::Within24Hours);
}

#[test]
fn one_more_finding_of_a_red_flag_never_lowers_the_urgency() {
    let mut held = 0;
    for text in &EMERGENCIES {
        let told =
            |text: String| ENGINE.assess(&Presentation { text: Some(text), ..Presentation::default() });
        let by_rule =
            told((*text).to_owned()).urgency_reasons.into_iter().filter(|it| it.rule != "differential");
        let Some(least) = by_rule.map(|reason| reason.urgency).max() else { continue };
        held += usize::from(least.is_emergency());
        assert!(told(format!("{text}. Also a runny nose and sneezing.")).urgency >= least, "{text}");
    }
    assert!(held * 10 >= EMERGENCIES.len() * 8, "{held} of them by a rule");
}

#[test]
fn the_same_presentation_has_the_same_answer_to_the_byte() {
    let presentation = Presentation { text: Some(EMERGENCIES[0].to_owned()), ..Presentation::default() };
    let of = |engine: &Engine| {
        serde_json::to_string(&engine.assess(&presentation)).expect("an assessment is JSON")
    };
    let again = Engine::new(Arc::clone(ENGINE.knowledge()));
    assert_eq!(of(&ENGINE), of(&again));
}

#[test]
fn every_line_says_what_spoke_for_it_and_the_lines_fall_in_probability() {
    let text = Some("45 year old man with cough, fever and pain when breathing in for 4 days".to_owned());
    let told = ENGINE.assess(&Presentation { text, ..Presentation::default() });
    assert!(told.differential.is_sorted_by(|a, b| a.probability >= b.probability));
    assert!(
        told.differential[0].spoke_for.iter().any(|spoke| spoke.weight > 0.0),
        "{:?}",
        told.differential[0]
    );
    assert!(!told.questions.is_empty());
}
