//! Which cryptography stands behind rustls. It is always passed on explicitly: the process-wide default is
//! the application's, and rustls panics when two features of somebody's dependencies leave it ambiguous.

use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
#[cfg(feature = "tls-aws-lc")]
use rustls::crypto::aws_lc_rs as chosen;
use rustls::crypto::hash::Hash;
#[cfg(not(feature = "tls-aws-lc"))]
use rustls::crypto::ring as chosen;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(chosen::default_provider())
}

/// The provider's SHA-256.
pub(super) fn sha256() -> &'static dyn Hash {
    match chosen::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
    }
}
