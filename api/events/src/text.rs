//! Texts and names that clients send.

use clinical::event::Event;
use gate::Problem;

/// Longest description, in characters.
const DESCRIPTION_CHARACTERS: usize = 500;

/// A description, trimmed.
pub(crate) fn description(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > DESCRIPTION_CHARACTERS || text.contains('\0') {
        let detail = format!("a description has at most {DESCRIPTION_CHARACTERS} characters and no NUL");
        return Err(Problem::bad_request("invalid-text", detail));
    }
    Ok(text.to_owned())
}

/// Names of events that are told here, each once.
pub(crate) fn event_names(mut names: Vec<String>) -> Result<Vec<String>, Problem> {
    if names.iter().any(|name| !Event::NAMES.contains(&name.as_str())) {
        let detail = format!("the events are: {}", Event::NAMES.join(", "));
        return Err(Problem::bad_request("unknown-event", detail));
    }
    names.sort();
    names.dedup();
    Ok(names)
}
