//! Where a webhook may point: never at what only this machine or its network can reach.
//!
//! Sources: the IANA special-purpose address registries (RFC 6890 and its
//! updates); OWASP, «Server-Side Request Forgery Prevention».

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// The longest address that is kept, in bytes.
const LONGEST: usize = 2_048;

/// Which machines a webhook may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Those of the public Internet.
    PublicOnly,
    /// Those of the own network and this machine too.
    PrivateToo,
}

impl Targets {
    /// Whether this address may be spoken to.
    pub fn allow(self, address: IpAddr) -> bool {
        self == Self::PrivateToo || is_public(address)
    }
}

/// Why an address is none for a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL, or too long.
    #[error("the address is no URL of at most {LONGEST} bytes")]
    NoUrl,
    /// It is neither `http` nor `https`.
    #[error("the address begins with https:// or http://")]
    Scheme,
    /// It holds a name and a password.
    #[error("the address holds no user name and no password")]
    Credentials,
    /// It names this machine or its network.
    #[error("the address is none of the public Internet")]
    Private,
}

/// The address of a webhook: `http` or `https`, without a user, not plainly private.
///
/// A name may still resolve to anything: who sends asks [`Targets::allow`] of each address that it resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Checks an address.
    ///
    /// # Errors
    ///
    /// [`UrlError`] says what is wrong with it.
    pub fn check(text: &str, targets: Targets) -> Result<Self, UrlError> {
        if text.len() > LONGEST {
            return Err(UrlError::NoUrl);
        }
        let url = Url::parse(text.trim()).map_err(|_| UrlError::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        let is_allowed = match url.host() {
            None => return Err(UrlError::NoUrl),
            Some(Host::Ipv4(address)) => targets.allow(address.into()),
            Some(Host::Ipv6(address)) => targets.allow(address.into()),
            Some(Host::Domain(name)) => targets == Targets::PrivateToo || !is_local_name(name),
        };
        if is_allowed { Ok(Self(url)) } else { Err(UrlError::Private) }
    }

    /// As it is stored and called.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Names that mean this machine or its network (RFC 6761, section 6.3; RFC 6762, section 3).
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    ["localhost", "local", "internal"]
        .iter()
        .any(|local| name.strip_suffix(local).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Whether an address is one of the public Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = match address.octets() {
        // this network; private; shared (CGNAT); loopback; link-local, metadata of most clouds among it
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => {
            true
        }
        // protocol assignments; documentation; 6to4 relays; benchmarks
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => {
            true
        }
        // metadata and DNS of Azure, at an address that looks public
        [168, 63, 129, 16] => true,
        // multicast, reserved, broadcast
        [224..=255, ..] => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    match address.segments() {
        // local translation; discard only
        [0x64, 0xff9b, 1, ..] | [0x100, ..] => false,
        // protocol assignments, Teredo among them; documentation
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // global unicast; all else is unspecified, loopback, unique local, link-local or multicast
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(of(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of the IANA registries, and metadata addresses that the clouds document.
    #[test]
    fn no_address_of_the_own_network_is_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "168.63.129.16",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "8.8.8.8",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    /// The forms in which the URL standard of the WHATWG lets an IPv4 address be written.
    #[test]
    fn an_address_is_refused_in_whatever_way_it_is_written() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://127.1:80/x",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost",
            "http://printer.local/",
            "http://metadata.google.internal/",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(WebhookUrl::check(text, Targets::PublicOnly), Err(UrlError::Private), "{text}");
            assert!(WebhookUrl::check(text, Targets::PrivateToo).is_ok(), "{text}");
        }
    }

    #[test]
    fn only_plain_web_addresses_are_taken() {
        let long = format!("https://example.org/{}", "x".repeat(LONGEST));
        for (text, why) in [
            ("", UrlError::NoUrl),
            ("example.org", UrlError::NoUrl),
            (long.as_str(), UrlError::NoUrl),
            ("ftp://example.org/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("gopher://127.0.0.1:6379/_x", UrlError::Scheme),
            ("https://user@example.org/", UrlError::Credentials),
            ("https://:secret@example.org/", UrlError::Credentials),
        ] {
            assert_eq!(WebhookUrl::check(text, Targets::PrivateToo), Err(why), "{text}");
        }
        let good = WebhookUrl::check("https://example.org:8443/hook?clinic=1", Targets::PublicOnly).unwrap();
        assert_eq!(good.as_str(), "https://example.org:8443/hook?clinic=1");
        let name = WebhookUrl::check("https://mylocalhost.org/", Targets::PublicOnly);
        assert!(name.is_ok(), "only whole labels count");
    }
}
