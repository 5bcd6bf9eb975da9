//! A proxy of the distribution as a child process, with a configuration written for one test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libchan_transports::tls::{DevCertificate, Fingerprint};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::sync::mpsc;

/// How long a proxy may take to start or to reload.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a proxy is told to reload in that time.
const TELLS: u32 = 5;

/// A proxy that the tests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    HaProxy,
    Caddy,
    Apache,
}

/// What a port of a proxy is for; each has one, as far as the proxy can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Port {
    /// Nobody is asked who they are.
    Open,
    /// A service is asked about each request.
    Subrequest,
    /// A name and a password.
    Basic,
    /// A client certificate.
    Certificate,
    /// All timeouts are two seconds.
    Short,
    /// Bytes are moved, TLS is from end to end.
    Pass,
}

impl Port {
    pub(crate) const ALL: [Self; 6] =
        [Self::Open, Self::Subrequest, Self::Basic, Self::Certificate, Self::Short, Self::Pass];

    /// How it is named in configurations.
    fn placeholder(self) -> String {
        format!("@{self:?}@").to_uppercase()
    }
}

/// Where a proxy finds what is behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    /// The libchan listener, in clear text.
    pub(crate) backend: u16,
    /// The same with a relay between, for the port with short timeouts.
    pub(crate) slow: u16,
    /// The libchan listener over TLS.
    pub(crate) secure: u16,
    /// The service that is asked about requests.
    pub(crate) auth: u16,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Nginx, Self::HaProxy, Self::Caddy, Self::Apache];

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Apache => "Apache",
        }
    }

    /// Its configuration, with places to be filled in.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("nginx.conf"),
            Self::HaProxy => include_str!("haproxy.cfg"),
            Self::Caddy => include_str!("Caddyfile"),
            Self::Apache => include_str!("apache2.conf"),
        }
    }

    /// Whether its configuration has such a port.
    pub(crate) fn has(self, port: Port) -> bool {
        self.template().contains(&port.placeholder())
    }

    fn command(self, config: &Path) -> Command {
        let (program, before): (_, &[&str]) = match self {
            Self::Nginx => ("nginx", &["-e", "stderr", "-c"]),
            Self::HaProxy => ("haproxy", &["-W", "-f"]),
            Self::Caddy => ("caddy", &["run", "--adapter", "caddyfile", "--config"]),
            Self::Apache => ("apache2", &["-DFOREGROUND", "-f"]),
        };
        let mut command = Command::new(program);
        command.args(before).arg(config);
        command
    }

    /// What it says when it listens.
    fn ready(self) -> &'static str {
        match self {
            Self::Nginx => "start worker process ",
            Self::HaProxy => "Loading success",
            Self::Caddy => "serving initial configuration",
            Self::Apache => "resuming normal operations",
        }
    }

    /// What it says when it has read its configuration again and new connections are new workers'.
    fn reloaded(self) -> &'static str {
        match self {
            // The old worker, which closes its listening sockets then.
            Self::Nginx => "gracefully shutting down",
            kind => kind.ready(),
        }
    }
}

/// A running proxy; killed when dropped.
pub(crate) struct Proxy {
    kind: Kind,
    dir: PathBuf,
    ports: BTreeMap<Port, u16>,
    child: Child,
    /// What it says, line by line.
    said: mpsc::UnboundedReceiver<String>,
    /// Its certificate.
    pub(crate) pin: Fingerprint,
    /// The certificate by which it knows a client.
    pub(crate) client: DevCertificate,
}

impl Proxy {
    /// Starts one, with its files in `dir`.
    pub(crate) async fn start(kind: Kind, dir: &Path, behind: Behind) -> Self {
        let certificate = DevCertificate::new(["localhost", "127.0.0.1"]).unwrap();
        let client = DevCertificate::new(["alice"]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("cert.pem", certificate.certificate_pem());
        write("key.pem", certificate.key_pem());
        write("both.pem", &format!("{}{}", certificate.certificate_pem(), certificate.key_pem()));
        write("client.pem", client.certificate_pem());
        // alice and secret.
        write("users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
        let ports: BTreeMap<_, _> = Port::ALL.into_iter().map(|port| (port, free_port())).collect();
        let mut config = kind.template().to_owned();
        for (name, value) in [
            ("@DIR@", dir.display().to_string()),
            ("@BACKEND@", behind.backend.to_string()),
            ("@SLOW@", behind.slow.to_string()),
            ("@SECURE@", behind.secure.to_string()),
            ("@AUTH@", behind.auth.to_string()),
            ("@ADMIN@", free_port().to_string()),
        ] {
            config = config.replace(name, &value);
        }
        for (port, number) in &ports {
            config = config.replace(&port.placeholder(), &number.to_string());
        }
        write("config", &config);
        let (child, said) = spawn(kind, dir);
        let pin = certificate.fingerprint();
        let mut proxy = Self { kind, dir: dir.to_owned(), ports, child, said, pin, client };
        proxy.says(kind.ready()).await;
        proxy
    }

    pub(crate) fn url(&self, scheme: &str, port: Port) -> String {
        format!("{scheme}://localhost:{}", self.ports[&port])
    }

    /// Reads the configuration again. When it returns, new connections are new workers'.
    pub(crate) async fn reload(&mut self) {
        let signal = match self.kind {
            Kind::Nginx => Signal::SIGHUP,
            Kind::HaProxy => Signal::SIGUSR2,
            Kind::Apache => Signal::SIGUSR1,
            Kind::Caddy => {
                let config = self.dir.join("config");
                let mut reload = Command::new("caddy");
                reload.args(["reload", "--force", "--adapter", "caddyfile", "--config"]).arg(config);
                assert!(reload.stderr(Stdio::null()).status().unwrap().success());
                return;
            }
        };
        // What it has said before does not count.
        while self.said.try_recv().is_ok() {}
        // HAProxy's master loses a signal that comes right after its start: said nothing, it is told again.
        for _ in 0..TELLS {
            kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
            if self.has_said(self.kind.reloaded(), PATIENCE / TELLS).await.is_ok() {
                return;
            }
        }
        panic!("{} does not reload", self.kind.name());
    }

    /// Kills every process of it at once.
    pub(crate) fn kill(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Starts it again, as it was.
    pub(crate) async fn restart(&mut self) {
        (self.child, self.said) = spawn(self.kind, &self.dir);
        self.says(self.kind.ready()).await;
    }

    async fn says(&mut self, words: &str) {
        let name = self.kind.name();
        if let Err(others) = self.has_said(words, PATIENCE).await {
            panic!("{name} has not said {words:?}, but:\n{}", others.join("\n"));
        }
    }

    /// Waits for these words; gives what was said instead.
    async fn has_said(&mut self, words: &str, patience: Duration) -> Result<(), Vec<String>> {
        let mut others = Vec::new();
        let listening = async {
            while let Some(line) = self.said.recv().await {
                if line.contains(words) {
                    return true;
                }
                others.push(line);
            }
            false
        };
        match tokio::time::timeout(patience, listening).await {
            Ok(true) => Ok(()),
            _ => Err(others),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In a process group of its own, so that its workers can be killed with it.
fn spawn(kind: Kind, dir: &Path) -> (Child, mpsc::UnboundedReceiver<String>) {
    let mut command = kind.command(&dir.join("config"));
    let command = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{kind:?}: {error}; run tests/setup-peers.sh"));
    let stderr = child.stderr.take().expect("it is piped");
    let (line, said) = mpsc::unbounded_channel();
    // Ends with the last process that has the pipe.
    std::thread::spawn(move || {
        for text in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = line.send(text);
        }
    });
    (child, said)
}

/// Free a moment ago; nobody else takes it as long as everybody asks the system.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
