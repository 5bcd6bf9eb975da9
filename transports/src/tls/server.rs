//! The server's side of tls: who we are, which clients are let in, and how that changes while sessions are
//! up.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::client::{own_certificate, read_all, read_roots, verifier_error};
use super::error::TlsConfigError;
use super::provider::provider;
use super::source::TlsSource;

/// Who a tls server is and which clients it lets in.
#[derive(Clone, Debug)]
pub struct TlsServerOptions {
    chain: TlsSource,
    key: TlsSource,
    client_roots: Vec<TlsSource>,
    client_optional: bool,
    revocation_lists: Vec<TlsSource>,
}

impl TlsServerOptions {
    /// A server with this chain of certificates, its own first, and the key of that one. Clients need none.
    pub fn new(chain: TlsSource, key: TlsSource) -> Self {
        Self { chain, key, client_roots: Vec::new(), client_optional: false, revocation_lists: Vec::new() }
    }

    /// Requires of clients a certificate that one of these vouches for. May be repeated. Who the client is
    /// stands in [`LinkInfo::certificates`](libchan::LinkInfo::certificates).
    #[must_use]
    pub fn client_root(mut self, certificates: TlsSource) -> Self {
        self.client_roots.push(certificates);
        self
    }

    /// Lets clients without a certificate in too; one that is shown has to be good all the same.
    #[must_use]
    pub fn client_optional(mut self) -> Self {
        self.client_optional = true;
        self
    }

    /// Refuses client certificates that are revoked in these lists (CRL). May be repeated.
    ///
    /// Once there is a list, there has to be an up-to-date one of every issuer in a client's chain: a
    /// certificate that no list covers is refused too.
    #[must_use]
    pub fn revocation_list(mut self, lists: TlsSource) -> Self {
        self.revocation_lists.push(lists);
        self
    }

    fn build(&self) -> Result<ServerConfig, TlsConfigError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("both providers have suites for every version");
        let config = if self.client_roots.is_empty() {
            if self.client_optional || !self.revocation_lists.is_empty() {
                return Err(TlsConfigError::NoClientRoots);
            }
            config.with_no_client_auth()
        } else {
            let roots = Arc::new(read_roots(&self.client_roots)?);
            let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
            if self.client_optional {
                builder = builder.allow_unauthenticated();
            }
            if !self.revocation_lists.is_empty() {
                let lists = read_all(&self.revocation_lists, TlsSource::revocation_lists)?;
                builder = builder.with_crls(lists).enforce_revocation_expiration();
            }
            config.with_client_cert_verifier(builder.build().map_err(verifier_error)?)
        };
        let (chain, key) = (self.chain.certificates()?, self.key.key()?);
        let mut config = config.with_single_cert(chain, key).map_err(own_certificate)?;
        // A resumed session would let in a client whose certificate has been revoked since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// A server's certificates in force. Clones are handles to the same, and so is what
/// [`ListenOptions::tls`](crate::ListenOptions::tls) got: keep one to renew the certificate while the
/// listener runs.
#[derive(Clone)]
pub struct TlsServer(Arc<Mutex<InForce>>);

struct InForce {
    options: TlsServerOptions,
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// Reads and checks everything. Blocks while it reads files.
    ///
    /// # Errors
    /// What is wrong with the certificate, the key, the roots or the lists.
    pub fn new(options: TlsServerOptions) -> Result<Self, TlsConfigError> {
        let config = Arc::new(options.build()?);
        Ok(Self(Arc::new(Mutex::new(InForce { options, config }))))
    }

    /// Reads the files again. Handshakes from now on use what they hold; sessions that are up go on. Blocks
    /// while it reads files.
    ///
    /// # Errors
    /// What is wrong with the files; then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let options = self.lock().options.clone();
        self.replace(options)
    }

    /// The same with other options.
    ///
    /// # Errors
    /// What is wrong with the options; then everything stays as it was.
    pub fn replace(&self, options: TlsServerOptions) -> Result<(), TlsConfigError> {
        let config = Arc::new(options.build()?);
        *self.lock() = InForce { options, config };
        Ok(())
    }

    /// What one connection is made with.
    pub(super) fn connection(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let in_force = self.lock().config.clone();
        let mut config = ServerConfig::clone(&in_force);
        config.alpn_protocols = alpn.iter().map(|id| id.to_vec()).collect();
        Arc::new(config)
    }

    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsServer").field(&self.lock().options).finish()
    }
}
