//! The kinds of objects that are made of what was found.

use serde::{Deserialize, Serialize};

/// A kind of object that is made of what was found, stored in the same study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ResultKind {
    /// A Measurement Report of each network that has looked at an image of the study.
    StructuredReport,
    /// The same of networks that have only abstained.
    AbstentionReport,
    /// A picture of each image with what was found burnt in.
    SecondaryCapture,
    /// What was found as words over each image, which a viewer can take away.
    PresentationState,
    /// Which pixels of the images belong to what was found, where a network says so.
    Segmentation,
    /// How surely each of them does.
    FractionalSegmentation,
}

impl ResultKind {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::StructuredReport,
        Self::AbstentionReport,
        Self::SecondaryCapture,
        Self::PresentationState,
        Self::Segmentation,
        Self::FractionalSegmentation,
    ];

    /// Those that are made where nobody has chosen.
    pub const USUAL: &[Self] = &[Self::StructuredReport, Self::SecondaryCapture, Self::Segmentation];

    /// Its name, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StructuredReport => "structured-report",
            Self::AbstentionReport => "abstention-report",
            Self::SecondaryCapture => "secondary-capture",
            Self::PresentationState => "presentation-state",
            Self::Segmentation => "segmentation",
            Self::FractionalSegmentation => "fractional-segmentation",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_written_as_it_is_called() {
        for kind in ResultKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.as_str());
        }
    }
}
