//! Fingerprints: the SHA-256 of a certificate, by which it can be named and pinned.

use std::fmt;
use std::str::FromStr;

/// The SHA-256 of a certificate (its DER), written `sha256:` and 64 hexadecimal digits.
///
/// ```
/// use libchan_transports::tls::Fingerprint;
///
/// let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// let fingerprint: Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), text);
/// # Ok::<(), libchan_transports::tls::FingerprintError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate, given as DER: for example of the first one in
    /// [`LinkInfo::certificates`](libchan::LinkInfo::certificates).
    pub fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(super::provider::sha256().hash(certificate).as_ref());
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads the printed form. Capitals, and colons between the bytes as OpenSSL prints them, are fine.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix("sha256:").ok_or(FingerprintError::NoPrefix)?;
        let mut bytes = [0; 32];
        let mut rest = digits;
        for (i, byte) in bytes.iter_mut().enumerate() {
            if i > 0 {
                rest = rest.strip_prefix(':').unwrap_or(rest);
            }
            let pair = rest.get(..2).ok_or(FingerprintError::BadDigits)?;
            // `from_str_radix` alone would let "+1" pass.
            let hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = match u8::from_str_radix(pair, 16) {
                Ok(byte) if hex => byte,
                _ => return Err(FingerprintError::BadDigits),
            };
            rest = &rest[2..];
        }
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(FingerprintError::BadDigits) }
    }
}

/// What is wrong with the text of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FingerprintError {
    /// It does not begin with `sha256:`.
    NoPrefix,
    /// What follows is not 64 hexadecimal digits.
    BadDigits,
}

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPrefix => "a fingerprint begins with `sha256:`",
            Self::BadDigits => "a fingerprint is `sha256:` and 64 hexadecimal digits",
        })
    }
}

impl std::error::Error for FingerprintError {}
