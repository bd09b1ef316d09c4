//! One presentation, or one list of drugs.

use anyhow::{Result, bail};
use clinical::decision::{Assessment, DetectedIssue, NotChecked, Spoke};
use serde_json::json;
use triage::Advisor;

use super::File;

/// So many facts of a line are shown to people.
const FACTS: usize = 4;

/// `triage assess FILE`
pub fn assess(advisor: &Advisor, file: &File) -> Result<()> {
    let presentation = file.read()?;
    if presentation.is_empty() {
        bail!("{} tells of nothing: symptoms, text or vitals must", file.file.display());
    }
    let assessment = advisor.assess(&presentation);
    if file.json {
        println!("{}", serde_json::to_string(&assessment)?);
    } else {
        show(&assessment);
    }
    Ok(())
}

/// `triage screen FILE`
pub fn screen(advisor: &Advisor, file: &File) -> Result<()> {
    let presentation = file.read()?;
    if presentation.medications.is_empty() {
        bail!("{} names no medication: `medications` must", file.file.display());
    }
    let screened = advisor.screen(&presentation);
    let ignored = presentation.unread();
    if file.json {
        println!(
            "{}",
            json!({
                "detected_issues": screened.detected_issues, "not_checked": screened.not_checked,
                "drugs": screened.drugs, "ignored": ignored, "knowledge_version": advisor.version(),
            })
        );
        return Ok(());
    }
    for taken in &screened.drugs {
        println!("«{}» was taken for {}", taken.words, taken.drugs.join(" and "));
    }
    if screened.detected_issues.is_empty() {
        println!("No issue was found in what could be checked.");
    }
    show_words("Not looked at", &ignored);
    show_issues(&screened.detected_issues, &screened.not_checked);
    Ok(())
}

/// The answer for people: emergencies first and whole.
pub(super) fn show(assessment: &Assessment) {
    println!("{}", assessment.urgency.as_str().to_uppercase());
    for reason in &assessment.urgency_reasons {
        println!("  {}: {}", reason.urgency.as_str(), reason.text);
    }
    if !assessment.differential.is_empty() {
        println!();
    }
    for line in &assessment.differential {
        println!("{:5.1} %  {} ({})", line.probability * 100.0, line.name, line.icd10.join(", "));
        for (word, facts) in [("for", &line.spoke_for), ("against", &line.spoke_against)] {
            if !facts.is_empty() {
                let names: Vec<String> = facts.iter().take(FACTS).map(fact).collect();
                println!("         {word}: {}", names.join("; "));
            }
        }
    }
    println!("{:5.1} %  none of what is known here", assessment.none_of_these * 100.0);
    show_words("Not understood", &assessment.unmatched);
    show_words("Not looked at", &assessment.ignored);
    show_issues(&assessment.detected_issues, &assessment.not_checked);
    if !assessment.questions.is_empty() {
        println!("\nTo be asked next:");
        for question in &assessment.questions {
            println!("  {}", question.text);
        }
    }
}

fn fact(spoke: &Spoke) -> String {
    format!("{} ({:+.1}, {})", spoke.name, spoke.weight, spoke.source.as_deref().unwrap_or(spoke.grade))
}

fn show_words(title: &str, words: &[String]) {
    if !words.is_empty() {
        println!("\n{title}: {}", words.join("; "));
    }
}

fn show_issues(issues: &[DetectedIssue], not_checked: &[NotChecked]) {
    for issue in issues {
        let with = issue.with.as_ref().map(|with| format!(" and {with}")).unwrap_or_default();
        let severity = format!("{:?}", issue.severity).to_lowercase();
        println!("\n{severity}: {}{with}", issue.drugs.join(" and "));
        println!("  {}\n  {}\n  Source: {}", issue.mechanism, issue.management, issue.source);
    }
    if !not_checked.is_empty() {
        println!("\nNot checked, and so not said to be safe:");
        for one in not_checked {
            println!("  {}: {}", one.what, one.why);
        }
    }
}
