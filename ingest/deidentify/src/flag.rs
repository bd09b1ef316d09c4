//! What of an object this profile cannot clean, so that a person has to look.

use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use part10::{PixelDataAt, Scan, text};

/// Something that may still tell who the patient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Burned In Annotation (0028,0301) is YES.
    BurnedInAnnotation,
    /// Recognizable Visual Features (0028,0302) is YES.
    RecognizableVisualFeatures,
    /// Nothing is said of burned-in text, and objects of this kind often have some: captures, ultrasound.
    MayHoldBurnedInText,
    /// An overlay lies in the unused bits of the pixels (retired), where it stays.
    OverlayInPixels,
    /// A document that was inside the object is gone; what is left shows nothing.
    DocumentRemoved,
    /// A codestream's header cannot be walked to its end, or lies in a container whose boxes may hold texts: what was
    /// not walked over stays.
    UnreadCodestream,
    /// Native Pixel Data is longer than its frames: what stands behind them stays.
    BytesBehindFrames,
}

impl Flag {
    /// The stable word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BurnedInAnnotation => "burned-in-annotation",
            Self::RecognizableVisualFeatures => "recognizable-visual-features",
            Self::MayHoldBurnedInText => "may-hold-burned-in-text",
            Self::OverlayInPixels => "overlay-in-pixels",
            Self::DocumentRemoved => "document-removed",
            Self::UnreadCodestream => "unread-codestream",
            Self::BytesBehindFrames => "bytes-behind-frames",
        }
    }

    /// Whether the object itself says that the patient can be told from it.
    pub fn is_declared(self) -> bool {
        matches!(self, Self::BurnedInAnnotation | Self::RecognizableVisualFeatures)
    }
}

/// Modalities whose images often carry the patient's name in their pixels.
const OFTEN_BURNED_IN: [&str; 12] =
    ["US", "SC", "OT", "XC", "ES", "GM", "IVUS", "BDUS", "ECG", "DOC", "HC", "XA"];

/// Images that no modality made: captures of screens, scans of paper (PS3.4, table B.5-1).
const CAPTURES: &str = "1.2.840.10008.5.1.4.1.1.7";

/// What is to be looked at, in order.
pub(crate) fn flags_of(header: &InMemDicomObject, has_pixels: bool) -> Vec<Flag> {
    let mut flags = Vec::new();
    let word = |tag: Tag| text(header, tag).unwrap_or_default();
    let burned_in = word(tags::BURNED_IN_ANNOTATION);
    if has_pixels && burned_in == "YES" {
        flags.push(Flag::BurnedInAnnotation);
    }
    if has_pixels && word(tags::RECOGNIZABLE_VISUAL_FEATURES) == "YES" {
        flags.push(Flag::RecognizableVisualFeatures);
    }
    let modality = word(tags::MODALITY);
    let is_capture = word(tags::SOP_CLASS_UID).starts_with(CAPTURES)
        || word(tags::IMAGE_TYPE).contains("SCREEN SAVE")
        || !word(tags::CONVERSION_TYPE).is_empty();
    if has_pixels && burned_in.is_empty() && (is_capture || OFTEN_BURNED_IN.contains(&modality.as_str())) {
        flags.push(Flag::MayHoldBurnedInText);
    }
    let overlay = |offset: u16| Tag(0x6000 + offset, 0x0010);
    let has_plane_without_data = (0..16).map(|plane| plane * 2).any(|offset| {
        header.get(overlay(offset)).is_some() && header.get(Tag(0x6000 + offset, 0x3000)).is_none()
    });
    if has_pixels && has_plane_without_data {
        flags.push(Flag::OverlayInPixels);
    }
    if header.get(tags::ENCAPSULATED_DOCUMENT).is_some() {
        flags.push(Flag::DocumentRemoved);
    }
    flags
}

/// Whether native Pixel Data is longer than the frames that the object describes (PS3.5, section 8.1.1), whose bits
/// may be filled up to a byte each, with a byte to even length. Where the object describes none, it is not said.
pub(crate) fn holds_bytes_behind_frames(scan: &Scan) -> bool {
    let length = match (scan.pixel_data(), scan.float_pixels()) {
        (Some(PixelDataAt::Native { length, .. }), _) => *length,
        (None, Some(floats)) => floats.length,
        _ => return false,
    };
    let number = |tag: Tag| scan.header().get(tag).and_then(|it| it.to_int::<u16>().ok()).map(u128::from);
    let (Some(rows), Some(columns), Some(bits)) =
        (number(tags::ROWS), number(tags::COLUMNS), number(tags::BITS_ALLOCATED))
    else {
        return false;
    };
    let samples = match text(scan.header(), tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        Some("YBR_FULL_422" | "YBR_PARTIAL_422") => 2,
        _ => number(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
    };
    let frame = (rows * columns * samples * bits).div_ceil(8);
    u128::from(length) > (frame * u128::from(scan.frame_count())).next_multiple_of(2)
}
