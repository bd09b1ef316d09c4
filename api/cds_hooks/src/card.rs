//! Cards (CDS Hooks 2.0, «Card Attributes»).

use clinical::decision::{DetectedIssue, IssueKind, IssueSeverity, NotChecked, OverrideReason};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// A summary has fewer than 140 characters.
const SUMMARY: usize = 139;
/// The system of our reasons.
const REASONS: &str = "urn:medilink:override-reason";
/// So many cards at most: what is left out is said.
const MOST: usize = 20;

/// The answer to a hook.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Response {
    /// The cards, the gravest first.
    pub cards: Vec<Card>,
}

/// One card.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Card {
    /// Its name in feedback: the same issue of the same triggering has the same.
    uuid: Uuid,
    /// In one line.
    #[schema(max_length = 139)]
    summary: String,
    /// More, in Markdown.
    detail: String,
    /// `info`, `warning` or `critical`.
    indicator: &'static str,
    /// Who says so.
    source: Source,
    /// What could be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    suggestions: Vec<Value>,
    /// How many of them may be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    selection_behavior: Option<&'static str>,
    /// Why it may not count this time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    override_reasons: Vec<Value>,
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = CardSource)]
pub(crate) struct Source {
    label: String,
}

/// An order that a card may speak of: the client's reference, and the drug as it was called.
pub(crate) struct Order {
    pub reference: String,
    pub name: String,
    /// The ids of its ingredients.
    pub ingredients: Vec<String>,
}

/// The cards of what was found and of what could not be checked.
pub(crate) fn cards(
    instance: Uuid,
    issues: &[DetectedIssue],
    not_checked: &[NotChecked],
    orders: &[Order],
) -> Response {
    let mut cards: Vec<Card> =
        issues.iter().take(MOST).map(|issue| of_issue(instance, issue, orders)).collect();
    if issues.len() > MOST {
        let left = issues.len() - MOST;
        let summary = format!("{left} more issues are not shown: the {MOST} gravest are");
        cards.push(info(instance, "left-out", summary, String::new()));
    }
    if !not_checked.is_empty() {
        let lines = not_checked.iter().map(|it| format!("- {}: {}", plain(&it.what), plain(&it.why)));
        let detail = lines.collect::<Vec<_>>().join("\n");
        let summary = match not_checked {
            [one] => format!("Not checked: {}", one.what),
            several => {
                format!("{} things could not be checked: nobody says that they are safe", several.len())
            }
        };
        cards.push(info(instance, "not-checked", summary, detail));
    }
    Response { cards }
}

fn of_issue(instance: Uuid, issue: &DetectedIssue, orders: &[Order]) -> Card {
    let indicator = match issue.severity {
        IssueSeverity::High => "critical",
        IssueSeverity::Moderate => "warning",
        IssueSeverity::Low => "info",
    };
    let drugs = issue.drugs.join(" + ").replace(['-', '_'], " ");
    let what = match (&issue.with, issue.kind) {
        (Some(with), _) => format!("{}: {drugs} and {with}", word(issue.kind)),
        (None, kind) => format!("{}: {drugs}", word(kind)),
    };
    let key = json!([issue.kind, issue.drugs, issue.with]).to_string();
    let concerned = orders.iter().filter(|order| order.ingredients.iter().any(|it| issue.drugs.contains(it)));
    let suggestions: Vec<Value> = concerned
        .map(|order| {
            let label = format!("Do not order {}", order.name);
            json!({
                "label": label,
                "uuid": Uuid::new_v5(&instance, format!("{key}{}", order.reference).as_bytes()),
                "actions": [{"type": "delete", "description": label, "resourceId": order.reference}],
            })
        })
        .collect();
    let reasons = OverrideReason::ALL.into_iter();
    let reasons =
        reasons.map(|(reason, means)| json!({"code": reason.as_str(), "system": REASONS, "display": means}));
    Card {
        uuid: Uuid::new_v5(&instance, key.as_bytes()),
        summary: cut(&what),
        detail: format!(
            "{}\n\n**What to do:** {}\n\n*Source: {}*",
            plain(&issue.mechanism),
            plain(&issue.management),
            plain(&issue.source)
        ),
        indicator,
        source: Source { label: "Medilink drug screen".to_owned() },
        selection_behavior: (!suggestions.is_empty()).then_some("any"),
        suggestions,
        override_reasons: reasons.collect(),
    }
}

fn info(instance: Uuid, key: &str, summary: String, detail: String) -> Card {
    Card {
        uuid: Uuid::new_v5(&instance, key.as_bytes()),
        summary: cut(&summary),
        detail,
        indicator: "info",
        source: Source { label: "Medilink drug screen".to_owned() },
        suggestions: Vec::new(),
        selection_behavior: None,
        override_reasons: Vec::new(),
    }
}

fn word(kind: IssueKind) -> &'static str {
    match kind {
        IssueKind::Allergy => "Allergy",
        IssueKind::Interaction => "Interaction",
        IssueKind::Contraindication => "Contraindication",
        IssueKind::Pregnancy => "Pregnancy",
        IssueKind::Lactation => "Breastfeeding",
        IssueKind::Age => "Age",
        IssueKind::Dose => "Dose",
        IssueKind::Duplicate => "Duplicate",
        IssueKind::QtProlongation => "QT interval",
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SUMMARY {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SUMMARY - 1).collect();
    short.push('…');
    short
}

/// Without what Markdown or HTML would act upon: names come from the client.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '[' | ']' | '*' | '_' | '`' | '#' | '|' | '\\' => {
                plain.push('\\');
                plain.push(c);
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_short_and_words_of_others_are_no_markup() {
        assert_eq!(cut(&"ü".repeat(200)).chars().count(), 139);
        assert_eq!(plain("<script>[x](y)"), "&lt;script&gt;\\[x\\](y)");
    }
}
