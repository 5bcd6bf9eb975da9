//! The client's side of tls: whom to believe, who we are.

use std::sync::{Arc, OnceLock};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::server::VerifierBuilderError;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsStream;

use super::error::{TlsConfigError, TlsError};
use super::fingerprint::Fingerprint;
use super::provider::provider;
use super::source::TlsSource;
use super::verify::{Trust, Verifier};

/// How to dial with tls. By default the server has to show a certificate for the dialed name that one of the
/// platform's roots vouches for.
///
/// Files are read at the first dial; later dials with the same options, or clones of them, use what was read
/// then.
#[derive(Clone, Debug, Default)]
pub struct TlsClientOptions {
    roots: Vec<TlsSource>,
    platform_roots: bool,
    revocation_lists: Vec<TlsSource>,
    identity: Option<(TlsSource, TlsSource)>,
    server_name: Option<String>,
    pins: Vec<Fingerprint>,
    prepared: Arc<OnceLock<Arc<Prepared>>>,
}

/// What is the same for every dial.
#[derive(Debug)]
pub(super) struct Prepared {
    config: ClientConfig,
    trust: Arc<Trust>,
}

impl TlsClientOptions {
    /// The defaults: the platform's roots, no certificate of our own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificates in the place of the platform's roots. May be repeated.
    #[must_use]
    pub fn root(self, certificates: TlsSource) -> Self {
        let mut options = self.changed();
        options.roots.push(certificates);
        options
    }

    /// Trusts the platform's roots beside those given by [`root`](Self::root).
    #[must_use]
    pub fn platform_roots(self) -> Self {
        Self { platform_roots: true, ..self.changed() }
    }

    /// Refuses certificates that are revoked in these lists (CRL). May be repeated.
    ///
    /// Once there is a list, there has to be an up-to-date one of every issuer in the server's chain: a
    /// certificate that no list covers is refused too.
    #[must_use]
    pub fn revocation_list(self, lists: TlsSource) -> Self {
        let mut options = self.changed();
        options.revocation_lists.push(lists);
        options
    }

    /// Shows a certificate of our own if the server asks for one: the chain, our own first, and its key.
    #[must_use]
    pub fn identity(self, chain: TlsSource, key: TlsSource) -> Self {
        Self { identity: Some((chain, key)), ..self.changed() }
    }

    /// The name the server's certificate has to be for, and that is asked for (SNI), where it is not the
    /// URL's.
    #[must_use]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        Self { server_name: Some(name.into()), ..self.changed() }
    }

    /// Believes the server that has exactly this certificate, and no other. May be repeated: one of them must
    /// match.
    ///
    /// A pin takes the place of roots: who issued the certificate, for which names and until when is not
    /// looked at. That the server holds the certificate's key is verified as ever.
    #[must_use]
    pub fn pin(self, certificate: Fingerprint) -> Self {
        let mut options = self.changed();
        options.pins.push(certificate);
        options
    }

    /// Options that are about to change share nothing that was prepared from the old ones.
    fn changed(self) -> Self {
        Self { prepared: Arc::default(), ..self }
    }

    /// The name to verify, for a URL's host.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, TlsConfigError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsConfigError::BadServerName(name.to_owned()))
    }

    /// Who the server of this stream, dialed with these options as `host`, has proved to be: the name that its certificate was
    /// verified for, or, where nobody vouches for names, the fingerprint that was pinned.
    pub(crate) fn proved<S>(&self, stream: &TlsStream<S>, host: &str) -> Option<String> {
        let own = stream.get_ref().1.peer_certificates()?.first()?;
        Some(match self.pins.is_empty() {
            true => self.server_name.as_deref().unwrap_or(host).to_owned(),
            false => Fingerprint::of(own).to_string(),
        })
    }

    /// What an earlier dial has read.
    pub(super) fn prepared(&self) -> Option<Arc<Prepared>> {
        self.prepared.get().cloned()
    }

    /// Reads what has to be read. Blocks.
    pub(super) fn prepare(&self) -> Result<Arc<Prepared>, TlsConfigError> {
        let prepared = Arc::new(self.build()?);
        Ok(self.prepared.get_or_init(|| prepared).clone())
    }

    fn build(&self) -> Result<Prepared, TlsConfigError> {
        let trust = Arc::new(self.trust()?);
        let provider = provider();
        let known = provider.signature_verification_algorithms;
        let verifier = Verifier { trust: trust.clone(), refused: Arc::default(), known };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("both providers have suites for every version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                config.with_client_auth_cert(chain.certificates()?, key.key()?).map_err(own_certificate)?
            }
        };
        // A resumed session would pass over what has changed in roots and revocation lists since; and one
        // connection carries so much that its handshake does not count.
        config.resumption = Resumption::disabled();
        Ok(Prepared { config, trust })
    }

    fn trust(&self) -> Result<Trust, TlsConfigError> {
        if !self.pins.is_empty() {
            let others = !self.roots.is_empty() || self.platform_roots || !self.revocation_lists.is_empty();
            return match others {
                true => Err(TlsConfigError::PinAndRoots),
                false => Ok(Trust::Pins(self.pins.clone())),
            };
        }
        let mut roots = read_roots(&self.roots)?;
        if self.platform_roots || self.roots.is_empty() {
            add_platform_roots(&mut roots)?;
        }
        let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        if !self.revocation_lists.is_empty() {
            let lists = read_all(&self.revocation_lists, TlsSource::revocation_lists)?;
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        builder.build().map(Trust::Roots).map_err(verifier_error)
    }
}

impl Prepared {
    /// What one connection is made with, and where it will say why it refused the server.
    pub(super) fn connection(&self, alpn: &[&[u8]]) -> (Arc<ClientConfig>, Arc<OnceLock<TlsError>>) {
        let refused = Arc::new(OnceLock::new());
        let mut config = self.config.clone();
        let known = config.crypto_provider().signature_verification_algorithms;
        let verifier = Verifier { trust: self.trust.clone(), refused: refused.clone(), known };
        config.alpn_protocols = alpn.iter().map(|id| id.to_vec()).collect();
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        (Arc::new(config), refused)
    }
}

/// Everything in several sources, in order.
pub(super) fn read_all<T>(
    sources: &[TlsSource],
    read: impl Fn(&TlsSource) -> Result<Vec<T>, TlsConfigError>,
) -> Result<Vec<T>, TlsConfigError> {
    let mut all = Vec::new();
    for source in sources {
        all.extend(read(source)?);
    }
    Ok(all)
}

/// A store of these roots.
pub(super) fn read_roots(sources: &[TlsSource]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for source in sources {
        for certificate in source.certificates()? {
            let added = roots.add(certificate);
            added.map_err(|why| TlsConfigError::BadCertificate(format!("a root in {source}: {why}")))?;
        }
    }
    Ok(roots)
}

/// A file among the platform's that does not parse is passed over, as every TLS library does.
fn add_platform_roots(roots: &mut RootCertStore) -> Result<(), TlsConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    match (added, found.errors.first()) {
        (0, Some(error)) => Err(TlsConfigError::NoPlatformRoots(error.to_string())),
        (0, None) => Err(TlsConfigError::NoPlatformRoots("none found".to_owned())),
        _ => Ok(()),
    }
}

/// Why rustls does not take a chain and a key of ours.
pub(super) fn own_certificate(error: rustls::Error) -> TlsConfigError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch,
        rustls::Error::InvalidCertificate(why) => TlsConfigError::BadCertificate(why.to_string()),
        other => TlsConfigError::BadKey(other.to_string()),
    }
}

/// Why rustls does not take roots and revocation lists of ours.
pub(super) fn verifier_error(error: VerifierBuilderError) -> TlsConfigError {
    match error {
        VerifierBuilderError::InvalidCrl(why) => TlsConfigError::BadRevocationList(format!("{why:?}")),
        other => TlsConfigError::BadCertificate(other.to_string()),
    }
}
