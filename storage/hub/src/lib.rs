//! The hub: what was told is brought to whoever cares, and what was asked for is done.
//!
//! [`dispatch`] gives events their positions and lets each listener hear them;
//! [`webhooks`] and [`nats`] are listeners that carry them to other programs.
//! [`worker`] runs the jobs of each queue, of which [`courier`] does one kind: it
//! brings events to the clinics' webhooks.

mod chain;
mod client;
pub mod courier;
pub mod dispatch;
pub mod nats;
mod sign;
pub mod webhooks;
pub mod worker;

pub use chain::Chain;
