//! What can go wrong with tls, one variant a cause: [`TlsError`] in a handshake, [`TlsConfigError`] in our
//! settings.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use super::fingerprint::Fingerprint;
use crate::error::OsError;

/// Why a TLS handshake failed. The other end is "the peer", whichever side connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate is no longer valid.
    Expired {
        /// For how long.
        ago: Duration,
    },
    /// The peer's certificate is not valid yet.
    NotYetValid {
        /// When it will be.
        after: Duration,
    },
    /// The server's certificate is for other names than the one that was dialed.
    WrongName {
        /// The name that was dialed, or
        /// [`TlsClientOptions::server_name`](super::TlsClientOptions::server_name).
        expected: String,
        /// The names in the certificate, such as `*.example.org` or `10.0.0.7`.
        names: Vec<String>,
    },
    /// The peer's certificate is self-signed, or issued by nobody among our roots.
    UnknownIssuer {
        /// The server's certificate, ready to be compared with what its operator says, and pinned.
        fingerprint: Option<Fingerprint>,
    },
    /// The peer's own certificate is marked as that of an authority, so no root can vouch for it.
    AuthorityAsPeer {
        /// The server's certificate, ready to be compared with what its operator says, and pinned.
        fingerprint: Option<Fingerprint>,
    },
    /// The peer's certificate has been revoked.
    Revoked,
    /// Revocation lists were given, and none is of this certificate's issuer.
    RevocationUnknown,
    /// The revocation list of the certificate's issuer is out of date.
    RevocationListExpired {
        /// For how long.
        ago: Duration,
    },
    /// The server's certificate is none of those that are pinned.
    BadPin {
        /// What is pinned.
        expected: Vec<Fingerprint>,
        /// What the server has.
        found: Fingerprint,
    },
    /// The peer's certificate is not for this purpose (a server's used by a client, or the reverse).
    WrongPurpose,
    /// A signature does not fit: the peer does not hold the certificate's key, or the certificate was
    /// tampered with.
    BadSignature,
    /// The peer's certificate is wrong in another way.
    BadCertificate(String),
    /// The client gave no certificate, and this server requires one.
    NoClientCertificate,
    /// The server requires a client certificate.
    ClientCertificateRequired,
    /// The peer does not accept our certificate.
    CertificateRefused {
        /// What the peer said, such as `UnknownCA`.
        alert: String,
    },
    /// The peer does not speak TLS.
    NotTls,
    /// The two sides have no application protocol (ALPN) in common.
    NoCommonProtocol,
    /// The two sides have no version, cipher or key exchange in common.
    Incompatible(String),
    /// The peer broke a rule of TLS.
    PeerMisbehaved(String),
    /// The peer ended the handshake for a reason of its own.
    Alert(String),
    /// The connection ended before the handshake did.
    Ended,
    /// The peer did not finish its handshake in time.
    TimedOut {
        /// The time it had.
        after: Duration,
    },
    /// The connection failed.
    Io(OsError),
}

impl TlsError {
    /// Sorts what an operation of a TLS stream said.
    pub(super) fn from_io(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::from(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
            None => Self::Io(error.into()),
        }
    }

    /// Whether it stays so until somebody mends something: a certificate that one side does not trust. One that is not valid
    /// yet will be.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Expired { .. }
            | Self::WrongName { .. }
            | Self::UnknownIssuer { .. }
            | Self::AuthorityAsPeer { .. }
            | Self::Revoked
            | Self::RevocationUnknown
            | Self::RevocationListExpired { .. }
            | Self::BadPin { .. }
            | Self::WrongPurpose
            | Self::BadSignature
            | Self::BadCertificate(_)
            | Self::ClientCertificateRequired
            | Self::CertificateRefused { .. } => true,
            Self::NotYetValid { .. }
            | Self::NoClientCertificate
            | Self::NotTls
            | Self::NoCommonProtocol
            | Self::Incompatible(_)
            | Self::PeerMisbehaved(_)
            | Self::Alert(_)
            | Self::Ended
            | Self::TimedOut { .. }
            | Self::Io(_) => false,
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        match alert {
            A::CertificateRequired => Self::ClientCertificateRequired,
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied => Self::CertificateRefused { alert: format!("{alert:?}") },
            A::NoApplicationProtocol => Self::NoCommonProtocol,
            A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => {
                Self::Incompatible(format!("the peer said {alert:?}"))
            }
            _ => Self::Alert(format!("{alert:?}")),
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        let between = |late: u64, early: u64| Duration::from_secs(late.saturating_sub(early));
        match error {
            // What has expired comes with its dates; the verifier says this of a certificate that never was valid.
            E::Expired => Self::BadCertificate("its validity ends before it begins".to_owned()),
            E::ExpiredContext { time, not_after } => {
                Self::Expired { ago: between(time.as_secs(), not_after.as_secs()) }
            }
            E::NotValidYet => Self::NotYetValid { after: Duration::ZERO },
            E::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { after: between(not_before.as_secs(), time.as_secs()) }
            }
            E::NotValidForNameContext { expected, presented } => Self::WrongName {
                expected: expected.to_str().into_owned(),
                names: presented.iter().map(|name| bare_name(name)).collect(),
            },
            E::UnknownIssuer => Self::UnknownIssuer { fingerprint: None },
            E::Revoked => Self::Revoked,
            E::UnknownRevocationStatus => Self::RevocationUnknown,
            E::ExpiredRevocationList => Self::RevocationListExpired { ago: Duration::ZERO },
            E::ExpiredRevocationListContext { time, next_update } => {
                Self::RevocationListExpired { ago: between(time.as_secs(), next_update.as_secs()) }
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::WrongPurpose,
            E::BadSignature => Self::BadSignature,
            // The verifier has no name of its own for it.
            E::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                Self::AuthorityAsPeer { fingerprint: None }
            }
            other => Self::BadCertificate(other.to_string()),
        }
    }

    /// Adds which certificate it was about, where that helps.
    pub(super) fn about(mut self, certificate: &[u8]) -> Self {
        if let Self::UnknownIssuer { fingerprint } | Self::AuthorityAsPeer { fingerprint } = &mut self {
            *fingerprint = Some(Fingerprint::of(certificate));
        }
        self
    }
}

/// `DnsName("build.example")` is the verifier's way to write it.
fn bare_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"')).to_owned()
}

impl From<&rustls::Error> for TlsError {
    fn from(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(error) => Self::from_certificate(error),
            E::AlertReceived(alert) => Self::from_alert(*alert),
            E::NoCertificatesPresented => Self::NoClientCertificate,
            E::NoApplicationProtocol => Self::NoCommonProtocol,
            E::PeerIncompatible(why) => Self::Incompatible(format!("{why:?}")),
            E::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            E::InvalidCertRevocationList(why) => {
                Self::BadCertificate(format!("its revocation list: {why:?}"))
            }
            other => Self::PeerMisbehaved(other.to_string()),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { ago } => write!(
                f,
                "the peer's certificate expired {} ago: renew it, unless a clock is wrong",
                Span(*ago)
            ),
            Self::NotYetValid { after } => write!(
                f,
                "the peer's certificate becomes valid in {}: is this machine's clock right?",
                Span(*after)
            ),
            Self::WrongName { expected, names } => write!(
                f,
                "the peer's certificate is for {} and not for `{expected}`: dial that name, or set \
                 `TlsClientOptions::server_name`",
                Names(names)
            ),
            Self::UnknownIssuer { fingerprint } => unknown_issuer(f, fingerprint.as_ref()),
            Self::AuthorityAsPeer { fingerprint } => authority_as_peer(f, fingerprint.as_ref()),
            Self::BadPin { expected, found } => bad_pin(f, expected, found),
            Self::TimedOut { after } => {
                write!(f, "the peer did not finish its TLS handshake within {after:?}")
            }
            Self::RevocationListExpired { ago } => {
                write!(
                    f,
                    "the revocation list of the certificate's issuer expired {} ago: renew it",
                    Span(*ago)
                )
            }
            Self::CertificateRefused { alert } => write!(f, "the peer refuses our certificate: {alert}"),
            Self::BadCertificate(why) => write!(f, "the peer's certificate is wrong: {why}"),
            Self::Incompatible(why) => write!(f, "no version, cipher or key exchange in common: {why}"),
            Self::PeerMisbehaved(why) => write!(f, "the peer broke a rule of TLS: {why}"),
            Self::Alert(why) => write!(f, "the peer ended the TLS handshake: {why}"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            plain => f.write_str(plain.plain_text()),
        }
    }
}

impl TlsError {
    /// The texts that hold nothing but themselves.
    fn plain_text(&self) -> &'static str {
        match self {
            Self::Revoked => "the peer's certificate has been revoked",
            Self::RevocationUnknown => {
                "no revocation list covers the peer's certificate: give those of every issuer, or none"
            }
            Self::WrongPurpose => "the peer's certificate is not for this purpose (serverAuth, clientAuth)",
            Self::BadSignature => {
                "a signature does not fit: the peer does not hold its certificate's key, or the certificate is forged"
            }
            Self::NoClientCertificate => "the client gave no certificate, and this server requires one",
            Self::ClientCertificateRequired => {
                "the server requires a client certificate: show one (`TlsClientOptions::identity`; `libchan dial --identity`)"
            }
            Self::NotTls => "the peer does not speak TLS: is it a port for plain tcp?",
            Self::NoCommonProtocol => {
                "the peer does not offer this protocol (ALPN): it speaks TLS, but not libchan over it"
            }
            Self::Ended => "the peer ended the connection during the TLS handshake",
            _ => "the TLS handshake failed",
        }
    }
}

impl std::error::Error for TlsError {}

fn unknown_issuer(f: &mut fmt::Formatter<'_>, found: Option<&Fingerprint>) -> fmt::Result {
    f.write_str(
        "the peer's certificate is self-signed or its issuer is unknown: add its issuer to the roots",
    )?;
    or_pin(f, found)
}

/// What was shown may be an attacker's: it is shown to be compared, not to be copied.
fn or_pin(f: &mut fmt::Formatter<'_>, found: Option<&Fingerprint>) -> fmt::Result {
    found.map_or(Ok(()), |found| {
        write!(f, "; or pin the fingerprint that its operator gives you (it showed {found}: compare)")
    })
}

fn authority_as_peer(f: &mut fmt::Formatter<'_>, found: Option<&Fingerprint>) -> fmt::Result {
    f.write_str("the peer's certificate is marked as an authority's (CA:TRUE), so no root vouches for it: ")?;
    f.write_str("make one with CA:FALSE")?;
    or_pin(f, found)
}

fn bad_pin(f: &mut fmt::Formatter<'_>, expected: &[Fingerprint], found: &Fingerprint) -> fmt::Result {
    f.write_str("the server's certificate is not the one that is pinned: expected ")?;
    for (i, pin) in expected.iter().enumerate() {
        write!(f, "{}{pin}", if i == 0 { "" } else { " or " })?;
    }
    write!(f, ", found {found}")
}

/// A span of time as people say it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ ..120 => write!(f, "{seconds} s"),
            seconds @ ..7_200 => write!(f, "{} min", seconds / 60),
            seconds @ ..172_800 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// The names of a certificate.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no name");
        }
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What is wrong with our own certificates, keys, roots or other settings of tls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: OsError,
    },
    /// A file or text is not PEM, or holds nothing of what was looked for.
    BadPem {
        /// The file, or what was given in memory.
        from: String,
        /// What was looked for: `certificate`, `private key`, `revocation list`.
        wanted: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A certificate does not parse or cannot be a root.
    BadCertificate(String),
    /// A revocation list does not parse.
    BadRevocationList(String),
    /// A private key does not parse or is of an unknown kind.
    BadKey(String),
    /// The private key is not that of the first certificate of the chain.
    KeyMismatch,
    /// A URL of an encrypted transport was listened on without [`ListenOptions::tls`](crate::ListenOptions::tls).
    NoServer,
    /// The system has no roots that can be read.
    NoPlatformRoots(String),
    /// Something was said about client certificates, but no root for them was given.
    NoClientRoots,
    /// A pin stands beside roots or revocation lists, which it would put out of force.
    PinAndRoots,
    /// The server's name is neither a host name nor an IP address.
    BadServerName(String),
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(f, "{} cannot be read: {source}", path.display()),
            Self::BadPem { from, wanted, problem } => write!(f, "no {wanted} in {from}: {problem}"),
            Self::BadCertificate(why) => write!(f, "a certificate of ours is wrong: {why}"),
            Self::BadRevocationList(why) => write!(f, "a revocation list is wrong: {why}"),
            Self::BadKey(why) => write!(f, "the private key is wrong: {why}"),
            Self::KeyMismatch => f.write_str(
                "the private key is not that of the certificate; the server's own comes first in the chain",
            ),
            Self::NoServer => f.write_str("listening with tls needs a certificate: set `ListenOptions::tls`"),
            Self::NoPlatformRoots(why) => write!(
                f,
                "this system has no root certificates ({why}): install ca-certificates, or give roots or a pin"
            ),
            Self::NoClientRoots => f.write_str(
                "client certificates cannot be verified without roots: set `TlsServerOptions::client_root`",
            ),
            Self::PinAndRoots => {
                f.write_str("a pin takes the place of roots and revocation lists: give the one or the other")
            }
            Self::BadServerName(name) => write!(f, "`{name}` is neither a host name nor an IP address"),
        }
    }
}

impl std::error::Error for TlsConfigError {}
