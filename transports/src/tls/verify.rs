//! How a client decides whom to believe: by roots, or by a pin.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use super::error::TlsError;
use super::fingerprint::Fingerprint;

/// Whom to believe.
#[derive(Debug)]
pub(super) enum Trust {
    /// Whoever has a certificate for the name from one of these.
    Roots(Arc<WebPkiServerVerifier>),
    /// Whoever has one of these certificates.
    Pins(Vec<Fingerprint>),
}

impl Trust {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        rest: (&[CertificateDer<'_>], &ServerName<'_>, &[u8], UnixTime),
    ) -> Result<ServerCertVerified, Refusal> {
        match self {
            Self::Roots(roots) => {
                let (intermediates, name, ocsp, now) = rest;
                let checked = roots.verify_server_cert(certificate, intermediates, name, ocsp, now);
                checked.map_err(|error| (TlsError::from(&error).about(certificate), error))
            }
            Self::Pins(pins) => {
                let found = Fingerprint::of(certificate);
                if pins.contains(&found) {
                    return Ok(ServerCertVerified::assertion());
                }
                let error = CertificateError::ApplicationVerificationFailure.into();
                Err((TlsError::BadPin { expected: pins.clone(), found }, error))
            }
        }
    }
}

/// What we say, and what the peer is told by way of an alert.
type Refusal = (TlsError, rustls::Error);

/// The verifier of one connection: it remembers why it refused, because rustls passes on less than was seen. Whatever
/// the trust rests on, the server has to hold the key of its certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) trust: Arc<Trust>,
    pub(super) refused: Arc<OnceLock<TlsError>>,
    /// What signatures the provider can check.
    pub(super) known: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.trust.check(certificate, (intermediates, name, ocsp, now)).map_err(|(why, error)| {
            let _ = self.refused.set(why);
            error
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}
