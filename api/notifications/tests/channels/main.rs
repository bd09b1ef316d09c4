//! The channels over HTTP and over the wire: who carries a clinic's messages, and what they report.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod amazon;
mod communication;
mod fallback;
mod mail_server;
mod maildev;
mod peer;
mod stubs;
mod support;
mod web_push;
mod webhooks;
