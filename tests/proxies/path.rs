//! A proxy and what is behind it: libchan listeners in clear text and over TLS, a service that is asked about requests,
//! and a relay that counts the pings which get through.

use async_trait::async_trait;
use libchan::Admission;
use libchan_tests::*;
use libchan_transports::http::{HttpDialOptions, HttpListenOptions, IpPrefix};
use libchan_transports::tls::{DevCertificate, Fingerprint, TlsClientOptions, TlsServer, TlsSource};
use libchan_transports::{
    Authorize, Candidate, DialError, DialOptions, ListenOptions, Listener, Refusal, dial_with, listen_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::proxy::{Behind, Kind, Port, Proxy};

/// The page that may connect.
pub(crate) const ORIGIN: &str = "https://app.example";

/// A proxy, and the listeners behind it.
pub(crate) struct Path {
    pub(crate) proxy: Proxy,
    listener: Listener,
    secure: Listener,
    secure_pin: Fingerprint,
    /// By which the listener over TLS knows a client.
    client: DevCertificate,
    /// Pings that were answered behind the port with short timeouts.
    pub(crate) pongs: watch::Receiver<usize>,
    _scratch: Scratch,
}

impl Path {
    pub(crate) async fn new(kind: Kind) -> Self {
        let proxies: IpPrefix = "127.0.0.0/8".parse().unwrap();
        let http = HttpListenOptions::default().origin(ORIGIN).trusted_proxy(proxies).extended_connect();
        let options = ListenOptions::default().authorize(Known).http(http);
        let listener = listen_with("http://127.0.0.1:0", options).await.unwrap();
        let (server, client) = (certificate("localhost"), certificate("alice"));
        let options = server.server_options().client_root(TlsSource::pem(client.certificate_pem()));
        let options = ListenOptions::default().tls(TlsServer::new(options).unwrap()).authorize(Known);
        let secure = listen_with("https://127.0.0.1:0", options).await.unwrap();
        let (slow, pongs) = relay(port_of(&listener)).await;
        let auth = authenticator().await;
        let behind = Behind { backend: port_of(&listener), slow, secure: port_of(&secure), auth };
        let scratch = Scratch::new();
        let proxy = Proxy::start(kind, scratch.directory(), behind).await;
        let secure_pin = server.fingerprint();
        Self { proxy, listener, secure, secure_pin, client, pongs, _scratch: scratch }
    }

    /// What every dial begins with: the server is believed, and the client says that it is somebody else.
    pub(crate) fn options(&self, headers: &[(&'static str, &str)]) -> DialOptions {
        let forged = [("x-remote-user", "mallory"), ("x-user", "mallory"), ("x-client-dn", "CN=mallory")];
        let http = forged.iter().chain(headers).fold(HttpDialOptions::default(), |http, (name, value)| {
            http.header(http::HeaderName::from_static(name), value.parse().unwrap())
        });
        DialOptions::default().http(http).tls(TlsClientOptions::new().pin(self.proxy.pin))
    }

    /// The same with a certificate that the proxy knows.
    pub(crate) fn certified(&self) -> DialOptions {
        let tls = identity(TlsClientOptions::new().pin(self.proxy.pin), &self.proxy.client);
        self.options(&[]).tls(tls)
    }

    /// For the listener over TLS, with a certificate that it knows, or without.
    pub(crate) fn end_to_end(&self, certified: bool) -> DialOptions {
        let tls = TlsClientOptions::new().pin(self.secure_pin);
        self.options(&[]).tls(if certified { identity(tls, &self.client) } else { tls })
    }

    /// Dials one of the proxy's ports: the dialer's session and the listener's.
    pub(crate) async fn dial(
        &self,
        scheme: &str,
        port: Port,
        options: DialOptions,
    ) -> Result<(Session, Session), DialError> {
        let url = self.proxy.url(scheme, port);
        let listener = if port == Port::Pass { &self.secure } else { &self.listener };
        let dialing = async { soon(dial_with(&url, options)).await };
        let accepting = listener.accept();
        tokio::pin!(dialing, accepting);
        // The listener serves whoever comes while the dial is under way; one that was refused is skipped there.
        tokio::select! {
            dialed = &mut dialing => {
                let dialed = dialed?;
                Ok((dialed, soon(accepting).await.unwrap()))
            }
            accepted = &mut accepting => Ok((dialing.await?, accepted.unwrap())),
        }
    }

    /// A session by a token in the header.
    pub(crate) async fn meet(&self, scheme: &str) -> (Session, Session) {
        self.dial(scheme, Port::Open, self.options(&[("authorization", "Bearer good")])).await.unwrap()
    }
}

fn certificate(name: &str) -> DevCertificate {
    DevCertificate::new([name, "127.0.0.1"]).unwrap()
}

fn identity(options: TlsClientOptions, certificate: &DevCertificate) -> TlsClientOptions {
    let (chain, key) = (certificate.certificate_pem(), certificate.key_pem());
    options.identity(TlsSource::pem(chain), TlsSource::pem(key))
}

fn port_of(listener: &Listener) -> u16 {
    let authority = listener.url().split('/').nth(2).unwrap();
    authority.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Says how it has come to know a peer.
struct Known;

#[async_trait]
impl Authorize for Known {
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        let header =
            |name: &str| peer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match (header("x-remote-user"), header("x-client-dn"), header("cookie"), peer.bearer()) {
            ("", "", "", None) if peer.info().certificates.is_some() => Ok(Some("certificate".into())),
            ("", "", "", None) => Ok(None),
            ("", "", "", Some("good")) => Ok(Some("header".into())),
            ("", "", "session=good", None) => Ok(Some("cookie".into())),
            ("", name, "", None) if !name.is_empty() => Ok(Some(format!("proxy: {name}").into())),
            (name, "", "", None) if !name.is_empty() => Ok(Some(format!("proxy: {name}").into())),
            _ => Err(Refusal::unauthorized("a wrong credential")),
        }
    }

    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        match peer.bearer() {
            Some("good") => Ok("hello".into()),
            _ => Err(Refusal::unauthorized("a wrong credential")),
        }
    }
}

/// What a proxy asks about each request: 200 and a name for the good token, 401 for any other. Gives its port.
async fn authenticator() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let status = match head.contains("authorization: bearer good\r\n") {
                    true => "200 OK\r\nX-User: alice",
                    false => "401 Unauthorized",
                };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

/// Passes connections on to the listener and counts the PONGs that it sends: each answers a PING that the proxy has let
/// through. Gives its port.
async fn relay(to: u16) -> (u16, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (count, pongs) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let count = count.clone();
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                let _ = to_server.shutdown().await;
            });
            tokio::spawn(async move {
                let mut bytes = vec![0; 16 * 1024];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    const PONG: &[u8] = &[0, 0, 8, 0x0c, 0, 0, 0, 0];
                    let seen = bytes[..read].windows(PONG.len()).filter(|part| *part == PONG).count();
                    count.send_modify(|count| *count += seen);
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, pongs)
}
