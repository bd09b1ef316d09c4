//! What every request passes: who asks, within which limits, and how a refusal reads.
//!
//! A house takes [`App`] and [`Caller`], answers with its own JSON or a
//! [`Problem`], and knows nothing of tokens, request ids, logs or metrics:
//! [`layers`] puts these around all houses at once, and [`serve`] carries the
//! whole over TCP.

mod app;
mod body;
mod caller;
mod extract;
mod layers;
mod limits;
pub mod metrics;
mod page;
mod problem;
mod request_id;
mod serve;
#[cfg(feature = "testing")]
pub mod testing;

pub use app::{App, Rooms};
pub use body::{BodyIdle, TooLarge, body_problem};
pub use caller::Caller;
pub use extract::{Json, Path, Query};
pub use layers::layers;
pub use limits::HttpLimits;
pub use page::{Page, Paged};
pub use problem::Problem;
pub use request_id::RequestId;
pub use serve::serve;
