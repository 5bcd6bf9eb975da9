//! Where a relay listens: at libchan URLs, and at the port of the original's bindings.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use libchan_transports::http::HttpListenOptions;
use libchan_transports::tls::{TlsServer, TlsServerOptions, TlsSource};
use libchan_transports::{ListenOptions, Listener, listen_with};
use tokio::net::TcpListener;

use super::admit::{Gate, Tokens};

/// The port of the original.
pub(super) const PORT: u16 = 55555;
/// How often a port is looked for that is free on both addresses.
const ATTEMPTS: usize = 16;

#[derive(clap::Args)]
#[command(next_help_heading = "Where it listens")]
pub(super) struct ListenArgs {
    /// Listens for applications at this URL of any transport: unix:///run/iris.sock, tcp://127.0.0.1:5555,
    /// tls://0.0.0.0:5556, wss://0.0.0.0:443/iris. May be repeated.
    #[arg(long, value_name = "URL")]
    pub(super) listen: Vec<String>,
    /// The port of 127.0.0.1 and [::1] for bindings of the original Iris (relay protocol v1.0-draft2); 0 takes a free one. They
    /// have no credentials, and no name.
    #[arg(long, value_name = "N", default_value_t = PORT)]
    pub(super) port: u16,
    /// Does not listen for bindings of the original.
    #[arg(long)]
    pub(super) no_draft2: bool,
    /// The certificate of this relay for tls:, wss: and https:, PEM or DER, with its chain; in PEM the key may stand in the same
    /// file. `libchan certificate` makes one for development.
    #[arg(long, value_name = "FILE")]
    pub(super) certificate: Option<PathBuf>,
    /// The key of --certificate, where it stands in a file of its own.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Web pages of this origin, such as https://app.example, may attach over ws: and wss:. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Who may attach, and do what")]
pub(super) struct AdmitArgs {
    /// Only applications with a token of this file may attach at --listen. A line is NAME TOKEN; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// Only applications with a certificate that leads to one of this file may attach over tls:, wss: and https:, under its first
    /// DNS name or else its common name. With --tokens, a token will do instead.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) client_root: Option<PathBuf>,
    /// Only what this file allows may be done. A line is WHO ACT,... NAME...: WHO is a name of --tokens or of a certificate, `*`
    /// for everybody, `+` for those with a name, `-` for those without; ACT is request, broadcast, tunnel, register, publish,
    /// subscribe, `*` for all of these, or status (to see the status page; has no NAME); NAME is a cluster or topic. A `*` at the
    /// end of WHO or NAME stands for any rest; a word in double quotes is taken as it is.
    #[arg(long, value_name = "FILE")]
    pub(super) rights: Option<PathBuf>,
}

impl AdmitArgs {
    /// The hook of the listeners; none if everybody is let in.
    pub(super) fn gate(&self, tokens: Option<&Arc<Tokens>>) -> Option<Gate> {
        (tokens.is_some() || self.client_root.is_some()).then(|| Gate { tokens: tokens.cloned() })
    }
}

/// Listens at every URL that is asked for.
///
/// # Errors
/// A URL cannot be listened at, or a certificate cannot be read: the text says which.
pub(super) async fn listen(
    args: &ListenArgs,
    admit: &AdmitArgs,
    gate: Option<&Gate>,
) -> Result<Vec<Listener>, String> {
    let options = options(args, admit, gate)?;
    let mut listeners = Vec::new();
    for url in &args.listen {
        if url.starts_with("mem:") {
            return Err(format!("{url} stays in this process, where nobody would dial it"));
        }
        let listener = listen_with(url, options.clone()).await.map_err(|error| error.to_string())?;
        if gate.is_none() && is_open(listener.url()) {
            tracing::warn!(
                url = listener.url(),
                "whoever reaches this address may attach: --tokens or --client-root says who may"
            );
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn options(args: &ListenArgs, admit: &AdmitArgs, gate: Option<&Gate>) -> Result<ListenOptions, String> {
    let mut http = HttpListenOptions::default();
    for origin in &args.origin {
        http = http.origin(origin);
    }
    let mut options = ListenOptions::default()
        .http(http)
        .on_failed_handshake(|error| tracing::info!(%error, "an application did not attach"));
    if let Some(chain) = &args.certificate {
        let key = args.key.as_ref().unwrap_or(chain);
        let mut tls = TlsServerOptions::new(TlsSource::file(chain), TlsSource::file(key));
        if let Some(root) = &admit.client_root {
            tls = tls.client_root(TlsSource::file(root));
            if admit.tokens.is_some() {
                tls = tls.client_optional();
            }
        }
        options = options.tls(TlsServer::new(tls).map_err(|error| error.to_string())?);
    }
    Ok(match gate {
        Some(gate) => options.authorize(gate.clone()),
        None => options,
    })
}

/// Whether others than programs of this machine reach a URL.
fn is_open(url: &str) -> bool {
    let Some((scheme, place)) = url.split_once(':') else { return true };
    let host = place.trim_start_matches('/');
    scheme != "unix" && !["127.", "[::1]", "localhost"].iter().any(|own| host.starts_with(own))
}

/// The sockets for bindings of the original, on both loopback addresses, and their port. A machine without IPv6, or without
/// IPv4, has one of them.
///
/// # Errors
/// The port is taken, or neither address can be listened at.
pub(super) async fn listen_draft2(port: u16) -> Result<(u16, Vec<TcpListener>), String> {
    for attempt in 1.. {
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        // The second gets the port that the first has found.
        let chosen = match &four {
            Ok(socket) => socket.local_addr().map_err(|error| error.to_string())?.port(),
            Err(_) => port,
        };
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, chosen)).await;
        let taken = |bound: &io::Result<TcpListener>| {
            bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        };
        match (four, six) {
            (Ok(_), six) if port == 0 && taken(&six) && attempt < ATTEMPTS => {}
            (four, six) if taken(&four) || taken(&six) => {
                return Err(format!(
                    "port {chosen} is taken: is another relay there? --port chooses one, --no-draft2 does without"
                ));
            }
            (Err(four), Err(six)) => {
                return Err(format!("neither 127.0.0.1:{chosen} ({four}) nor [::1]:{chosen} ({six})"));
            }
            (four, six) => {
                for (address, bound) in [("127.0.0.1", &four), ("[::1]", &six)] {
                    if let Err(error) = bound {
                        tracing::warn!(%error, address, "not listening there");
                    }
                }
                let sockets: Vec<_> = [four, six].into_iter().flatten().collect();
                let port = sockets[0].local_addr().map_err(|error| error.to_string())?.port();
                return Ok((port, sockets));
            }
        }
    }
    unreachable!("the last attempt returns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reaches_a_url() {
        for url in ["unix:///run/iris.sock", "tcp://127.0.0.1:1", "ws://[::1]:1/x", "tls://localhost:1"] {
            assert!(!is_open(url), "{url}");
        }
        for url in ["tcp://0.0.0.0:1", "tcp://[::]:1", "wss://iris.example:1/x", "tcp://10.0.0.1:1"] {
            assert!(is_open(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_port_on_both_addresses_and_not_twice() {
        let (port, sockets) = listen_draft2(0).await.unwrap();
        assert!(!sockets.is_empty());
        let error = listen_draft2(port).await.unwrap_err();
        assert!(error.contains(&format!("port {port} is taken")), "{error}");
    }
}
