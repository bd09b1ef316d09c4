//! Images as the engines see them: frames with their look-up tables, and what was found in them.

mod decode_request;
mod finding;
mod frame;
mod frame_map;
mod image_context;
mod lut;
mod network_state;
mod region;
mod result_kind;
mod slice_position;
mod sop_reference;

pub use decode_request::{DecodeRequest, FrameSelection};
pub use finding::{Abstention, AbstentionCode, LabelScore, Outcome, ReviewState};
pub use frame::{Frame, Photometric, Samples};
pub use frame_map::FrameMap;
pub use image_context::{ImageContext, PatientSex, age_in_years};
pub use lut::{LutTable, ModalityLut, Rescale, VoiFunction, VoiLut, Window};
pub use network_state::{NetworkState, UnknownNetworkState};
pub use region::Region;
pub use result_kind::ResultKind;
pub use slice_position::SlicePosition;
pub use sop_reference::SopReference;
