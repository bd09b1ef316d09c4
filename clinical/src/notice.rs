//! Word to a person: what it is about, how soon it should be heard, what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, invalid, line, note};

/// The longest title, in characters.
const TITLE_CHARACTERS: usize = 200;
/// Most values that a notice brings along.
const MOST_VALUES: usize = 32;
/// The longest name of one of them, and the longest of them, in characters.
const NAME_CHARACTERS: usize = 64;
const VALUE_CHARACTERS: usize = 500;
/// The longest address that a notice leads to, in characters.
const LINK_CHARACTERS: usize = 2_000;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NoticeCategory {
    /// Images, findings, assessments, results.
    Clinical,
    /// Somebody must act now.
    Emergency,
    /// Appointments.
    Appointment,
    /// Messages between people.
    Message,
    /// Calls.
    Call,
    /// Money.
    Billing,
    /// Worksheets.
    Worksheet,
    /// The running of the service.
    System,
}

impl NoticeCategory {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Clinical,
        Self::Emergency,
        Self::Appointment,
        Self::Message,
        Self::Call,
        Self::Billing,
        Self::Worksheet,
        Self::System,
    ];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clinical => "clinical",
            Self::Emergency => "emergency",
            Self::Appointment => "appointment",
            Self::Message => "message",
            Self::Call => "call",
            Self::Billing => "billing",
            Self::Worksheet => "worksheet",
            Self::System => "system",
        }
    }

    /// The type of the message over the socket, as the clinic applications before this one named it.
    pub fn message_type(self) -> &'static str {
        match self {
            Self::Emergency => "emergency_alert",
            Self::Appointment => "appointment_reminder",
            Self::Call => "call_notification",
            _ => "notification",
        }
    }

    /// Whether what it says may tell of somebody's health.
    pub fn is_of_health(self) -> bool {
        !matches!(self, Self::Billing | Self::System)
    }
}

/// How soon a notice should be heard; higher goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NoticeUrgency {
    /// When there is time.
    Low,
    /// The day's work.
    #[default]
    Normal,
    /// Somebody waits.
    High,
    /// Now, whatever the hour: it is neither put off nor gathered.
    Critical,
}

/// Word to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What it is about.
    pub category: NoticeCategory,
    /// How soon it should be heard.
    #[serde(default)]
    pub urgency: NoticeUrgency,
    /// Its title.
    pub title: String,
    /// What it says.
    pub body: String,
    /// What programs need beside it: identifiers of records, never people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Where it leads to, within the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The words to put it in, by the name of a template, for whoever reads another language; `data` holds the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// By which channels beside the list, by their names; `None`: those of its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
}

impl Notice {
    /// A notice with a title and a text, and no more.
    pub fn new(category: NoticeCategory, urgency: NoticeUrgency, title: &str, body: &str) -> Self {
        Self {
            category,
            urgency,
            title: title.to_owned(),
            body: body.to_owned(),
            data: BTreeMap::new(),
            link: None,
            template: None,
            channels: None,
        }
    }

    /// Holds it to its limits: no line breaks in what becomes a header, nothing without end.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the first member that must be mended.
    pub fn check(&self) -> Result<(), Invalid> {
        line("title", &self.title, TITLE_CHARACTERS)?;
        note("body", Some(&self.body))?;
        if self.data.len() > MOST_VALUES {
            return Err(invalid("data", "has at most 32 members"));
        }
        for (name, value) in &self.data {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.chars().count() > NAME_CHARACTERS || !name.chars().all(is_name) {
                return Err(invalid(
                    "data",
                    "has names of at most 64 letters, digits, hyphens and underscores",
                ));
            }
            if value.chars().count() > VALUE_CHARACTERS || value.chars().any(char::is_control) {
                return Err(invalid(
                    "data",
                    "has values of at most 500 characters without control characters",
                ));
            }
        }
        if let Some(link) = &self.link {
            line("link", link, LINK_CHARACTERS)?;
            // Anything else could lead out of the application.
            if !link.starts_with('/') || link.starts_with("//") || link.contains('\\') {
                return Err(invalid("link", "is a path of the application and begins with one slash"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Notice {
        Notice::new(NoticeCategory::System, NoticeUrgency::Normal, "Title", "A text\nof two lines")
    }

    #[test]
    fn a_title_that_would_break_a_header_is_refused() {
        assert_eq!(notice().check(), Ok(()));
        for title in ["", "a\r\nBcc: everybody@example.org", "a\nb", &"x".repeat(201)] {
            assert!(Notice { title: title.to_owned(), ..notice() }.check().is_err(), "{title:?}");
        }
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_application() {
        let to = |link: &str| Notice { link: Some(link.to_owned()), ..notice() }.check();
        assert_eq!(to("/studies/1"), Ok(()));
        for link in ["https://example.org", "//example.org", "/\\example.org", "javascript:alert(1)"] {
            assert!(to(link).is_err(), "{link}");
        }
    }

    /// The names are those of the clinic applications' sockets.
    #[test]
    fn an_emergency_is_an_alert_and_what_has_no_type_of_its_own_a_notification() {
        assert_eq!(NoticeCategory::Emergency.message_type(), "emergency_alert");
        assert_eq!(NoticeCategory::Billing.message_type(), "notification");
        for category in NoticeCategory::ALL {
            assert_eq!(serde_json::json!(category), category.as_str());
        }
    }
}
