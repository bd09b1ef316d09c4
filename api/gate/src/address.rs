//! From where a request came.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer(pub IpAddr);

/// The address of the client: the peer itself, or where the peer is one of our `proxies`, the last address
/// in `X-Forwarded-For` that is not. Each proxy adds at the end, so what stands before, or does not read, is the
/// client's own word and never believed.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    if !proxies.contains(&peer) {
        return peer;
    }
    let lines: Vec<&[u8]> =
        headers.get_all(X_FORWARDED_FOR).into_iter().map(|value| value.as_bytes()).collect();
    let elements = lines.into_iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    let mut nearest = peer;
    for element in elements {
        let read = std::str::from_utf8(element).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
        let Some(address) = read.map(|address| address.to_canonical()) else { return nearest };
        if !proxies.contains(&address) {
            return address;
        }
        nearest = address;
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, forwarded.parse().unwrap());
        client(peer.parse().unwrap(), &headers, &["10.0.0.1".parse().unwrap()]).to_string()
    }

    #[test]
    fn only_our_own_proxy_is_believed_about_the_client() {
        assert_eq!(seen("203.0.113.9", "198.51.100.1"), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.1"), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", "nonsense"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", "6.6.6.6, x, 198.51.100.1"), "198.51.100.1", "what the proxy has added");
        assert_eq!(seen("10.0.0.1", "6.6.6.6, x"), "10.0.0.1", "nothing behind what does not read");
    }
}
