//! Certificates for development: made on the spot, vouched for by nobody, to be pinned.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::fingerprint::Fingerprint;
use super::server::TlsServerOptions;
use super::source::TlsSource;

/// How long it is valid: long enough for a project, short enough not to be taken for a real one.
const VALID: Duration = Duration::from_secs(90 * 24 * 3600);
/// How far it is dated back, for clocks that differ.
const BACK: Duration = Duration::from_secs(3600);

/// A self-signed certificate and its key.
///
/// ```
/// use libchan_transports::tls::{DevCertificate, TlsClientOptions, TlsServer};
///
/// let certificate = DevCertificate::new(["localhost", "127.0.0.1"])?;
/// println!("{}", certificate.fingerprint()); // sha256:...
/// let server = TlsServer::new(certificate.server_options())?;
/// let client = TlsClientOptions::new().pin(certificate.fingerprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DevCertificate {
    certificate: String,
    key: String,
    fingerprint: Fingerprint,
}

impl DevCertificate {
    /// Makes one for these host names and IP addresses, valid for 90 days.
    ///
    /// # Errors
    /// A name is not ASCII.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Result<Self, DevCertificateError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "libchan development");
        let now = SystemTime::now();
        params.not_before = (now - BACK).into();
        params.not_after = (now + VALID).into();
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            fingerprint: Fingerprint::of(certificate.der()),
        })
    }

    /// The certificate, as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The private key, as PEM.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// What clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Options of a server that has this certificate.
    pub fn server_options(&self) -> TlsServerOptions {
        TlsServerOptions::new(TlsSource::pem(&self.certificate), TlsSource::pem(&self.key))
    }
}

impl fmt::Debug for DevCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key.
        f.debug_tuple("DevCertificate").field(&self.fingerprint).finish()
    }
}

fn failed(error: rcgen::Error) -> DevCertificateError {
    DevCertificateError(error.to_string())
}

/// Why no certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevCertificateError(String);

impl fmt::Display for DevCertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no certificate can be made: {}", self.0)
    }
}

impl std::error::Error for DevCertificateError {}
