//! Proxies that may say who a peer is: their addresses, and the headers that nobody else may send.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;

/// An address or a range of them: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
///
/// ```
/// use libchan_transports::http::IpPrefix;
///
/// let office: IpPrefix = "10.1.0.0/16".parse()?;
/// assert!(office.contains("10.1.2.3".parse()?) && !office.contains("10.2.0.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    address: IpAddr,
    bits: u8,
}

impl IpPrefix {
    /// Whether the address is in the range. An IPv4 address in IPv6 clothes counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_front(u128::from(ours.to_bits()), u128::from(theirs.to_bits()), 32, self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                same_front(ours.to_bits(), theirs.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

fn same_front(one: u128, other: u128, width: u32, bits: u8) -> bool {
    (one ^ other).checked_shr(width.saturating_sub(u32::from(bits))).unwrap_or(0) == 0
}

impl From<IpAddr> for IpPrefix {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for IpPrefix {
    type Err = IpPrefixError;

    fn from_str(text: &str) -> Result<Self, IpPrefixError> {
        let wrong = || IpPrefixError { text: text.to_owned() };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let whole = Self::from(address.parse::<IpAddr>().map_err(|_| wrong())?);
        match bits {
            None => Ok(whole),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let bits = digits.parse().ok().filter(|bits| *bits <= whole.bits).ok_or_else(wrong)?;
                Ok(Self { bits, ..whole })
            }
            Some(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// A text that is no address and no range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpPrefixError {
    text: String,
}

impl fmt::Display for IpPrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is neither an address nor a range: write 10.0.0.7 or 10.0.0.0/8", self.text)
    }
}

impl std::error::Error for IpPrefixError {}

/// Headers by which proxies say who a client is.
const IDENTITY: &[&str] =
    &["client-cert", "client-cert-chain", "forwarded", "remote-user", "x-real-ip", "x-remote-user", "x-user"];

/// The same, by how they begin.
const IDENTITY_FAMILIES: &[&str] = &["x-auth-request-", "x-client-", "x-forwarded-", "x-ssl-", "ssl-client-"];

/// Removes what only a trusted proxy may say.
pub(super) fn remove_identity(headers: &mut HeaderMap, further: &[http::HeaderName]) {
    let names: Vec<_> = headers.keys().filter(|name| is_identity(name.as_str())).cloned().collect();
    for name in names.iter().chain(further) {
        headers.remove(name);
    }
}

fn is_identity(name: &str) -> bool {
    IDENTITY.contains(&name) || IDENTITY_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let contains = |prefix: &str, address: &str| {
            prefix.parse::<IpPrefix>().unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.7", "10.0.0.7") && !contains("10.0.0.7", "10.0.0.8"));
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe00::1"));
        assert!(contains("::/0", "2001:db8::1") && contains("::1", "::1"));
        assert!(contains("127.0.0.1", "::ffff:127.0.0.1") && contains("::ffff:127.0.0.1", "127.0.0.1"));
        for wrong in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "host"] {
            let error = wrong.parse::<IpPrefix>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
        assert_eq!("10.0.0.0/8".parse::<IpPrefix>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn identity_headers_go_and_others_stay() {
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-for", "x-client-dn", "forwarded", "authorization", "cookie", "x-my-user"] {
            headers.insert(http::HeaderName::from_static(name), "x".parse().unwrap());
        }
        remove_identity(&mut headers, &[http::HeaderName::from_static("x-my-user")]);
        let mut left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "cookie"]);
    }
}
