//! What every request passes: who asks, within which limits, and how a refusal reads.
//!
//! A house takes [`App`] and [`Caller`], answers with its own JSON or a
//! [`Problem`], and knows nothing of tokens, request ids, logs or metrics:
//! [`layers`] puts these around all houses at once, and [`serve`] carries the
//! whole over TCP.

mod address;
mod app;
mod authenticate;
mod body;
mod caller;
mod cors;
mod cursor;
mod extract;
mod guard;
mod idempotency;
mod in_flight;
mod layers;
mod limits;
pub mod metrics;
mod operation;
mod pace;
mod problem;
mod rate_limit;
mod request_id;
mod routes;
mod rule;
mod serve;
pub mod socket;
#[cfg(feature = "testing")]
pub mod testing;
mod visitor;

pub use app::{App, Rooms};
pub use authenticate::{
    API_KEY_PREFIX, AccessToken, Authenticator, Membership, Principal, TokenSettings, Who, token_sha256,
};
pub use body::{BodyIdle, TooLarge, body_problem};
pub use caller::Caller;
pub use cors::{OriginError, Origins, open_to};
pub use cursor::{Cursor, Paged};
pub use extract::{Bytes, Json, OrEmpty, Path, Query};
pub use idempotency::{ShownOnce, idempotent};
pub use in_flight::{InFlight, Place, within};
pub use layers::layers;
pub use limits::{HttpLimits, Rate, Rates};
pub use operation::{Operation, delete, get, options, patch, post, put};
pub use problem::Problem;
pub use rate_limit::{AddressClass, Quota, RateLimits};
pub use request_id::RequestId;
pub use routes::Routes;
pub use rule::Rule;
pub use serve::serve;
pub use visitor::Visitor;
