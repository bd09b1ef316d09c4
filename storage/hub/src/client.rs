//! The client that calls webhooks: nothing private is reached, nobody is followed, nothing is waited for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use storage::records::webhook::target::Targets;

/// Most bytes of an answer that are read so that the connection can be used again; the rest is cut off.
const ANSWER_BYTES: usize = 16 << 10;
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Names as the system resolves them, without addresses that may not be spoken to.
///
/// The connection is made to what was checked, so that a name cannot mean another address a moment later.
struct Guarded(Targets);

/// No address that a name resolves to may be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address of the public Internet")]
struct NotPublic;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| targets.allow(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A client for webhooks, whose requests take at most `longest`.
pub(crate) fn client(targets: Targets, longest: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("Medilink/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(Guarded(targets)))
        .connect_timeout(CONNECT)
        .timeout(longest)
        .pool_idle_timeout(Duration::from_secs(20))
        .build()
}

/// Reads an answer to its end, or as far as it is worth it.
pub(crate) async fn drain(mut answer: reqwest::Response) {
    let mut read = 0;
    while read < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            // What came after the status changes nothing.
            Ok(None) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6761, section 6.3: this name means this machine, whatever a name server says.
    #[tokio::test]
    async fn a_name_of_this_machine_resolves_to_nothing_unless_it_is_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Guarded(Targets::PublicOnly).resolve(name()).await.err().unwrap();
        assert!(refused.is::<NotPublic>(), "{refused}");
        let mut found = Guarded(Targets::PrivateToo).resolve(name()).await.ok().unwrap();
        assert!(found.all(|address| address.ip().is_loopback()));
    }
}
