//! What was found, as DICOM objects that other systems read: plain values in, Part 10 bytes out.
//!
//! The same values give the same bytes: no clock, nothing random. UIDs come from [`derived_uid`], dates and times
//! from the values; so whoever makes an object twice stores it once.

mod code;
mod content;
mod element;
mod object;
mod presentation_state;
mod secondary_capture;
mod segmentation;
mod structured_report;

pub use code::Code;
pub use object::{ImageReference, Maker, ObjectHead, ReportError, Subject, derived_uid};
pub use presentation_state::{Annotation, PresentationState};
pub use secondary_capture::{Capture, SecondaryCapture, UNREVIEWED};
pub use segmentation::{MaskFrame, MaskPixels, Plane, Segment, Segmentation, SegmentationType};
pub use structured_report::{
    DeviceObserver, ReportedFinding, ReportedImage, Reviewed, Said, StructuredReport, Verification,
};
