//! Tls between two ends in this process, with certificates made on the spot.

mod config;
mod errors;
mod link;
mod reload;
mod sessions;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tokio::sync::mpsc;

use super::*;
use crate::test_support::soon;
use crate::{Listener, dial_with, listen_with};

/// Who vouches for certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
struct Issued {
    certificate: String,
    key: String,
    der: Vec<u8>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for this machine.
    fn issue(&self) -> Issued {
        self.issue_with(|_| {})
    }

    fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.serial_number = Some(SERIAL.into());
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    fn root(&self) -> TlsSource {
        TlsSource::pem(self.0.pem())
    }

    /// A list on which a serial number stands, valid until the given year.
    fn revoking(&self, serial: u64, until: i32) -> TlsSource {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        TlsSource::pem(list.signed_by(&self.0).unwrap().pem().unwrap())
    }
}

/// The serial number of every certificate, unless changed.
const SERIAL: u64 = 77;

impl Issued {
    fn chain(&self) -> TlsSource {
        TlsSource::pem(&self.certificate)
    }

    fn key(&self) -> TlsSource {
        TlsSource::pem(&self.key)
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    fn serves(&self) -> TlsServerOptions {
        TlsServerOptions::new(self.chain(), self.key())
    }
}

fn server(options: TlsServerOptions) -> TlsServer {
    TlsServer::new(options).unwrap()
}

/// What a failed handshake was reported as.
#[derive(Debug)]
struct Failure {
    tls: Option<TlsError>,
    text: String,
}

/// A listener, and the handshakes that fail there.
async fn listening(url: &str, options: ListenOptions) -> (Listener, mpsc::UnboundedReceiver<Failure>) {
    let (report, failures) = mpsc::unbounded_channel();
    let options = options.on_failed_handshake(move |error| {
        let tls = match error {
            AcceptError::Tls { source, .. } => Some(source.clone()),
            _ => None,
        };
        let _ = report.send(Failure { tls, text: error.to_string() });
    });
    (listen_with(url, options).await.unwrap(), failures)
}

/// One client meets one server; what came of it on both sides.
async fn meet(
    server: TlsServer,
    client: TlsClientOptions,
) -> (Result<Session, DialError>, Result<Session, Failure>) {
    let (listener, mut failures) = listening("tls://127.0.0.1:0", ListenOptions::default().tls(server)).await;
    let dialing = dial_with(listener.url(), DialOptions::default().tls(client));
    let accepting = async {
        tokio::select! {
            session = listener.accept() => Ok(session.unwrap()),
            Some(failure) = failures.recv() => Err(failure),
        }
    };
    soon(async { tokio::join!(dialing, accepting) }).await
}

/// The same where both come to a session.
async fn united(server: TlsServer, client: TlsClientOptions) -> (Session, Session) {
    let (dialed, accepted) = meet(server, client).await;
    (dialed.unwrap(), accepted.unwrap())
}

/// The same where neither does: why.
async fn refused(server: TlsServer, client: TlsClientOptions) -> (TlsError, TlsError) {
    let (dialed, accepted) = meet(server, client).await;
    (tls_error(dialed), accepted.unwrap_err().tls.unwrap())
}

fn tls_error(dialed: Result<Session, DialError>) -> TlsError {
    match dialed.unwrap_err() {
        DialError::Tls { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

/// A message goes from one to the other.
async fn talk(from: &Session, to: &Session) {
    let sender = from.open::<String>("talk").unwrap();
    soon(sender.send("word".to_owned())).await.unwrap();
    let incoming = soon(to.accept()).await.unwrap().unwrap();
    assert_eq!(soon(incoming.receive::<String>().recv()).await.unwrap().unwrap(), "word");
}
