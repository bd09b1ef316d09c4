//! Which machines are spoken to: a provider's at its fixed address; a clinic's mail server and a browser's push
//! service only where their names mean addresses that may be reached.
//!
//! The check is that of the webhooks ([`Targets`]). The connection is made to what was checked, so that a name
//! cannot mean another address a moment later.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use storage::records::webhook::target::{Targets, UrlError, WebhookUrl};

use super::ANSWER_TIME;

/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// No address that a name resolves to may be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address of the public Internet")]
pub(crate) struct NotPublic;

/// Whether a machine may be named: no inside address, in whatever way it is written, and no name that means one. What any
/// other name resolves to is looked at when it is spoken to.
pub(crate) fn may_be_named(host: &str, targets: Targets) -> bool {
    let host = host.trim();
    let is_v6 = host.parse::<Ipv6Addr>().is_ok();
    let url = if is_v6 { format!("http://[{host}]/") } else { format!("http://{host}/") };
    WebhookUrl::check(&url, targets) != Err(UrlError::Private)
}

/// The addresses of a name that may be spoken to.
///
/// # Errors
///
/// What the system says, or [`NotPublic`] inside when there is none.
pub(crate) async fn resolve(host: &str, port: u16, targets: Targets) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await?;
    let allowed: Vec<SocketAddr> = found.filter(|address| targets.allow(address.ip())).collect();
    if allowed.is_empty() { Err(io::Error::other(NotPublic)) } else { Ok(allowed) }
}

/// Names as the system resolves them, without addresses that may not be spoken to.
struct Guarded(Targets);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = self.0;
        Box::pin(async move {
            let allowed = resolve(name.as_str(), 0, targets).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("Medilink/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER_TIME)
}

/// A client for addresses that the operator has set or that are fixed.
pub(crate) fn to_providers() -> reqwest::Result<reqwest::Client> {
    builder().build()
}

/// A client for addresses that strangers have named.
pub(crate) fn to_strangers(targets: Targets) -> reqwest::Result<reqwest::Client> {
    builder().no_proxy().dns_resolver(Arc::new(Guarded(targets))).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_inside_is_not_named_unless_that_is_allowed() {
        for inside in ["127.0.0.1", "::1", "10.1.2.3", "2130706433", "0x7f.1", "LOCALHOST.", "mail.local"] {
            assert!(!may_be_named(inside, Targets::PublicOnly), "{inside}");
            assert!(may_be_named(inside, Targets::PrivateToo), "{inside}");
        }
        for outside in ["mail.example.org", "1.1.1.1", "2606:4700:4700::1111"] {
            assert!(may_be_named(outside, Targets::PublicOnly), "{outside}");
        }
    }

    /// RFC 6761, section 6.3: this name means this machine, whatever a name server says.
    #[tokio::test]
    async fn a_name_of_this_machine_resolves_to_nothing_unless_it_is_allowed() {
        let refused = resolve("localhost", 25, Targets::PublicOnly).await.unwrap_err();
        assert!(refused.get_ref().is_some_and(|inner| inner.is::<NotPublic>()), "{refused}");
        let found = resolve("localhost", 25, Targets::PrivateToo).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 25));
    }
}
