//! Large bodies through a rustls stream on a socket, framed by hand: the limit of whatever goes over tls.

use std::sync::Arc;

use libchan_transports::tls::DevCertificate;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::raw::{BulkDrain, BulkFeed};
use crate::net::{FrameReader, FrameWriter, tcp_pair};

pub async fn bulk(size: usize) -> (BulkFeed, BulkDrain) {
    let certificate = DevCertificate::new(["127.0.0.1"]).expect("a certificate");
    let chain = CertificateDer::from_pem_slice(certificate.certificate_pem().as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).expect("PEM");
    let mut roots = RootCertStore::empty();
    roots.add(chain.clone()).expect("a root");
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate and its key");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = tcp_pair().await.expect("tcp connects");
    let (connector, acceptor) = (TlsConnector::from(Arc::new(client)), TlsAcceptor::from(Arc::new(server)));
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let (near, far) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    let (_, writer) = tokio::io::split(near.expect("a handshake"));
    let (reader, _) = tokio::io::split(far.expect("a handshake"));
    (BulkFeed::new(FrameWriter::other(writer), size), BulkDrain::new(FrameReader::other(reader)))
}
