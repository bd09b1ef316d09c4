//! From where connections are taken at all.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses that may connect; by default all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedAddresses(Vec<IpNet>);

/// A text that names no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 10.1.0.0/16")]
pub struct NoAddress(String);

impl AllowedAddresses {
    /// Those that the texts name: addresses (`10.1.2.3`, `fd00::7`) or networks (`10.1.0.0/16`). Of no text: every one.
    ///
    /// # Errors
    ///
    /// [`NoAddress`] names the text that is neither.
    pub fn named(texts: &[String]) -> Result<Self, NoAddress> {
        let read = |text: &String| {
            let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            address.or_else(|_| text.parse()).map_err(|_| NoAddress(text.clone()))
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a connection from `address` is taken. An IPv4 address that came in over IPv6 is the IPv4 address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(texts: &[&str]) -> AllowedAddresses {
        let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
        AllowedAddresses::named(&texts).unwrap()
    }

    #[test]
    fn nothing_named_lets_everyone_in_and_else_only_the_named() {
        assert!(allowed(&[]).contain([203, 0, 113, 9].into()));
        let some = allowed(&["10.1.0.0/16", "192.0.2.7", "fd00::/8"]);
        for (address, is_in) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(some.contain(address.parse().unwrap()), is_in, "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in ["ten", "10.1.2.3/33", "10.1", ""] {
            assert_eq!(AllowedAddresses::named(&[text.to_owned()]), Err(NoAddress(text.to_owned())));
        }
    }
}
