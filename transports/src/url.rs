//! Addresses: a URL taken apart into a scheme and what that scheme's transport needs.
//!
//! An [`Address`] knows no transport: it is a scheme and a rest, so a new transport adds a row to `SCHEMES` and a
//! type of its own that parses the rest. What is parsed cannot be wrong later: the whole input is consumed, and
//! nothing is guessed. No percent-decoding, no query, no user: see [`UrlError`].

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// Every scheme we know of, with the feature of this crate that brings it and whether it is built in.
const SCHEMES: &[(&str, &str, bool)] = &[
    ("mem", "memory", cfg!(feature = "memory")),
    ("unix", "unix", cfg!(feature = "unix")),
    ("tcp", "tcp", cfg!(feature = "tcp")),
    ("tls", "tls", cfg!(feature = "_tls")),
    ("h2c", "http2", cfg!(feature = "http2")),
    ("http", "http2", cfg!(feature = "http2")),
    ("https", "http2 and tls", cfg!(all(feature = "http2", feature = "_tls"))),
    ("ws", "websocket", cfg!(feature = "websocket")),
    ("wss", "websocket and tls", cfg!(all(feature = "websocket", feature = "_tls"))),
];

/// A URL split into its scheme and the rest, checked for what no transport accepts.
///
/// ```
/// use libchan_transports::Address;
///
/// let address: Address = "tcp://build.example:7400".parse()?;
/// assert_eq!((address.scheme(), address.rest()), ("tcp", "//build.example:7400"));
/// # Ok::<(), libchan_transports::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    scheme: String,
    rest: String,
}

impl Address {
    /// Splits `url` and refuses what is wrong under every scheme: no or an unknown scheme, a query, a user.
    ///
    /// # Errors
    /// What was wrong with the URL. A part that may be a secret is never repeated.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(UrlError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        if !named || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
            return Err(UrlError::NoScheme);
        }
        let Some((_, feature, built_in)) = SCHEMES.iter().find(|row| row.0 == scheme) else {
            return Err(UrlError::UnknownScheme { scheme });
        };
        if !built_in {
            return Err(UrlError::NotBuiltIn { scheme, feature });
        }
        if rest.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        // A unix path and a name have no user part, and `unix:@name` is an abstract name.
        if !matches!(scheme.as_str(), "unix" | "mem") && rest.contains('@') {
            return Err(UrlError::Secret);
        }
        if rest.contains(|c: char| c.is_control()) {
            return Err(UrlError::ControlCharacter);
        }
        Ok(Self { scheme, rest: rest.to_owned() })
    }

    /// The scheme, in lower case: `tcp`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What follows the scheme's colon: `//build.example:7400`.
    pub fn rest(&self) -> &str {
        &self.rest
    }
}

impl FromStr for Address {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.rest)
    }
}

/// Where a tcp endpoint is: what follows the scheme in `tcp://host:port` and `tls://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TcpAddress {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port; 0 asks `listen` for any free one.
    pub port: u16,
}

impl TcpAddress {
    /// Reads what follows `tcp:` or `tls:`.
    ///
    /// # Errors
    /// What was wrong with the host or the port.
    pub fn parse(rest: &str) -> Result<Self, UrlError> {
        let authority = rest.strip_prefix("//").ok_or(UrlError::NoSlashes)?;
        if let Some((_, path)) = authority.split_once('/') {
            return Err(UrlError::TcpPath { path: path.to_owned() });
        }
        let (host, port) = host_and_port(authority, None)?;
        Ok(Self { host, port })
    }
}

/// Takes `host:port` apart, where the port may have a default.
fn host_and_port(authority: &str, default: Option<u16>) -> Result<(String, u16), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or_else(|| bad_host(authority))?;
            host.parse::<Ipv6Addr>().map_err(|_| bad_host(host))?;
            match (after.strip_prefix(':'), default) {
                (None, Some(_)) if after.is_empty() => (host, None),
                (port, _) => (host, Some(port.ok_or(UrlError::NoPort)?)),
            }
        }
        None => match (authority.rsplit_once(':'), default) {
            (Some((host, port)), _) => (host, Some(port)),
            (None, Some(_)) => (authority, None),
            (None, None) => return Err(UrlError::NoPort),
        },
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    if !authority.starts_with('[') && host.contains(':') {
        return Err(UrlError::BareIpv6);
    }
    if host.contains(|c: char| c.is_whitespace() || "[]%\\".contains(c)) {
        return Err(bad_host(host));
    }
    let number = match (port, default) {
        (None, Some(default)) => Some(default),
        (None | Some(""), _) => return Err(UrlError::NoPort),
        // `parse` alone would let "+7400" pass.
        (Some(digits), _) if is_plain_number(digits) => digits.parse().ok(),
        _ => None,
    };
    match number {
        Some(number) => Ok((host.to_owned(), number)),
        None => Err(UrlError::BadPort { port: port.unwrap_or_default().to_owned() }),
    }
}

/// Digits alone, and no zero before them: programs differ in what that would be.
fn is_plain_number(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

fn bad_host(host: &str) -> UrlError {
    UrlError::BadHost { host: host.to_owned() }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "tcp://[{}]:{}", self.host, self.port),
            false => write!(f, "tcp://{}:{}", self.host, self.port),
        }
    }
}

/// Where an http endpoint is: `ws://host:port/path`, and the same for `h2c`, `http`, `wss` and `https`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HttpAddress {
    /// The scheme, in lower case.
    pub scheme: String,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port; 80 if none is given, 443 for `wss` and `https`. 0 asks `listen` for any free one.
    pub port: u16,
    /// The path; [`HttpAddress::DEFAULT_PATH`] if none is given.
    pub path: String,
}

impl HttpAddress {
    /// The path of an endpoint whose URL has none.
    pub const DEFAULT_PATH: &str = "/libchan/v1";

    /// Reads an address of one of the http schemes.
    ///
    /// # Errors
    /// What was wrong with the host, the port or the path.
    pub fn parse(address: &Address) -> Result<Self, UrlError> {
        let rest = address.rest().strip_prefix("//").ok_or(UrlError::NoSlashes)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, Self::DEFAULT_PATH),
        };
        if let Some(wrong) = path.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}%".contains(*c)) {
            return Err(UrlError::BadPath { path: path.to_owned(), wrong });
        }
        let default = if is_encrypted(address.scheme()) { 443 } else { 80 };
        let (host, port) = host_and_port(authority, Some(default))?;
        Ok(Self { scheme: address.scheme().to_owned(), host, port, path: path.to_owned() })
    }

    /// Whether the scheme is one of those over TLS.
    #[cfg(feature = "_http")]
    pub(crate) fn is_encrypted(&self) -> bool {
        is_encrypted(&self.scheme)
    }

    /// Host and port, as a `Host` header has them.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Whether a scheme of http is one of those over TLS.
fn is_encrypted(scheme: &str) -> bool {
    matches!(scheme, "https" | "wss")
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

/// Where a unix socket is: a path in the file system or, on Linux, an abstract name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnixAddress {
    /// `unix:///run/build.sock` or `unix:relative/path.sock`.
    Path(PathBuf),
    /// `unix:@build`: a name without a file, gone with its last user, and without permissions.
    Abstract(String),
}

impl UnixAddress {
    /// Reads what follows `unix:`.
    ///
    /// # Errors
    /// What was wrong with the path or the name.
    pub fn parse(rest: &str) -> Result<Self, UrlError> {
        if let Some(name) = rest.strip_prefix('@') {
            return match name.is_empty() {
                true => Err(UrlError::EmptyPath),
                false => Ok(Self::Abstract(name.to_owned())),
            };
        }
        let path = match rest.strip_prefix("//") {
            Some("") => return Err(UrlError::EmptyPath),
            Some(path) if !path.starts_with('/') => {
                return Err(UrlError::UnixHost { path: path.to_owned() });
            }
            Some(path) => path,
            None => rest,
        };
        if path.is_empty() || path == "/" {
            return Err(UrlError::EmptyPath);
        }
        Ok(Self::Path(PathBuf::from(path)))
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) if path.is_absolute() => write!(f, "unix://{}", path.display()),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

/// What is wrong with a URL, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no `scheme:` in front.
    NoScheme,
    /// No transport has this scheme.
    UnknownScheme {
        /// The scheme that was given.
        scheme: String,
    },
    /// The transport exists but this build does not contain it.
    NotBuiltIn {
        /// The scheme that was given.
        scheme: String,
        /// What of this crate's features brings it: `websocket and tls`.
        feature: &'static str,
    },
    /// A user or a secret stands in front of the host.
    Secret,
    /// There is a query or a fragment.
    Query,
    /// There is a control character, such as a newline left from reading a file.
    ControlCharacter,
    /// `tcp:` is not followed by `//`.
    NoSlashes,
    /// There is no host.
    NoHost,
    /// There is no port, and no default to fall back to.
    NoPort,
    /// An IPv6 address stands without brackets, so its last group could be the port.
    BareIpv6,
    /// The host is neither a name nor an address.
    BadHost {
        /// The host that was given.
        host: String,
    },
    /// The port is not a number up to 65535.
    BadPort {
        /// The port that was given.
        port: String,
    },
    /// Port 0 was dialed; only `listen` can ask for any free port.
    PortZero,
    /// There is a path after the port of a tcp or tls URL.
    TcpPath {
        /// The path that was given.
        path: String,
    },
    /// The path of an http URL has a character that no path may have.
    BadPath {
        /// The path that was given.
        path: String,
        /// The first such character.
        wrong: char,
    },
    /// The path or name is missing.
    EmptyPath,
    /// `unix://` is followed by what would be a host.
    UnixHost {
        /// What followed the two slashes.
        path: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => {
                f.write_str("the URL has no scheme: write tcp://host:port, unix:///path.sock or mem:name")
            }
            Self::UnknownScheme { scheme } => {
                write!(f, "unknown scheme `{scheme}`: the known ones are ")?;
                for (i, (known, _, _)) in SCHEMES.iter().enumerate() {
                    write!(f, "{}{known}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::NotBuiltIn { scheme, feature } => {
                write!(f, "`{scheme}` is not built in: enable {feature} among the features of libchan-transports")
            }
            Self::Secret => f.write_str("no user and no secret in a URL: put the token in the options"),
            Self::Query => f.write_str(
                "a URL takes no query and no fragment (`?`, `#`), and no secret: put the token and other settings in the options",
            ),
            Self::ControlCharacter => f.write_str("the URL contains a control character: trim it"),
            Self::NoSlashes => f.write_str("two slashes are missing: write tcp://host:port"),
            Self::NoHost => f.write_str(
                "the URL has no host: write tcp://host:port, or tcp://[::]:port to listen on every address",
            ),
            Self::NoPort => f.write_str("the URL has no port, and there is no default: write tcp://host:port"),
            Self::BareIpv6 => f.write_str("an IPv6 address needs brackets: write tcp://[::1]:port"),
            Self::BadHost { host } => write!(f, "`{host}` is neither a host name nor an IP address"),
            Self::BadPort { port } => write!(f, "`{port}` is not a port: write a number from 0 to 65535, without leading zeros"),
            Self::PortZero => f.write_str("port 0 means any free port: only listen can use it"),
            Self::TcpPath { path } => {
                write!(f, "the URL ends after its port: remove `/{path}` (channels have names, sockets do not)")
            }
            Self::BadPath { path, wrong } => {
                write!(f, "`{wrong}` cannot stand in the path `{path}`, and nothing is percent-encoded")
            }
            Self::EmptyPath => {
                f.write_str("the path or name is empty: write unix:///run/x.sock, unix:x.sock, unix:@name or mem:name")
            }
            Self::UnixHost { path } => write!(
                f,
                "a unix URL has no host: write unix:///{path} for an absolute path or unix:{path} for a relative one"
            ),
        }
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests;
