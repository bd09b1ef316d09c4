//! Question by question, at a terminal.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::Result;
use clinical::decision::{Assessment, FindingState, Presentation, Symptom, Urgency};
use clinical::person::Sex;
use triage::Advisor;

use super::assess::show;

/// Questions end when a condition is so probable.
const SURE: f32 = 0.95;
/// So many questions are asked at most.
const MOST: usize = 25;

/// Asks what is wrong, then what tells most, until it is clear enough or nobody answers any more.
pub fn run(advisor: &Advisor) -> Result<()> {
    println!("This is no physician. In an emergency, call an ambulance now.\n");
    let mut presentation = Presentation::default();
    let Some(text) = asked("What is wrong? ")? else { return Ok(()) };
    presentation.text = Some(text);
    presentation.age = understood("How old, in years? ", |text| text.replace(',', ".").parse().ok())?;
    let sex = understood("Sex, f or m? ", |text| match text.to_lowercase().as_str() {
        "f" | "female" => Some(Sex::Female),
        "m" | "male" => Some(Sex::Male),
        _ => None,
    })?;
    presentation.sex = sex.unwrap_or_default();
    if let Err(faults) = presentation.check() {
        for fault in faults.0 {
            println!("{fault}: it is left out");
        }
        presentation =
            Presentation { text: presentation.text, sex: presentation.sex, ..Presentation::default() };
    }
    println!("\nAnswer y, n, or ? where you do not know; an empty line ends the questions.\n");
    let mut assessment = advisor.assess(&presentation);
    let mut urgency = None;
    for _ in 0..MOST {
        if urgency != Some(assessment.urgency) && assessment.urgency.is_emergency() {
            tell_emergency(&assessment);
        }
        urgency = Some(assessment.urgency);
        let is_clear = assessment.differential.first().is_some_and(|first| first.probability >= SURE);
        let Some(question) = assessment.questions.first().filter(|_| !is_clear) else { break };
        let Some(answer) = asked(&format!("{} ", question.text))? else { break };
        let state = match answer.to_lowercase().as_str() {
            "y" | "yes" => FindingState::Present,
            "n" | "no" => FindingState::Absent,
            _ => FindingState::Unknown,
        };
        let name = question.finding.clone();
        presentation.symptoms.push(Symptom::is(name, state));
        assessment = advisor.assess(&presentation);
    }
    println!();
    show(&assessment);
    Ok(())
}

fn tell_emergency(assessment: &Assessment) {
    let what = match assessment.urgency {
        Urgency::EmergencyAmbulance => "Call an ambulance now.",
        _ => "Go to an emergency department now.",
    };
    println!("\n*** {what}");
    for reason in assessment.urgency_reasons.iter().filter(|reason| reason.urgency.is_emergency()) {
        println!("*** {}", reason.text);
    }
    println!();
}

/// An answer as it was read; one that cannot be is left out, and it is said so.
fn understood<T>(question: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    let Some(answer) = asked(question)? else { return Ok(None) };
    let understood = read(&answer);
    if understood.is_none() {
        println!("«{answer}» was not understood: it is left out");
    }
    Ok(understood)
}

/// A line of the terminal; `None` where it is empty or there is none any more.
fn asked(question: &str) -> Result<Option<String>> {
    print!("{question}");
    stdout().flush()?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    let line = line.trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}
