//! The hub over both databases, a real receiver of webhooks, and a real NATS server.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod courier;
mod dispatch;
mod nats;
mod support;
mod worker;
