//! A proxy of the distribution as a child process, with a configuration written for one test.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libchan_transports::tls::{DevCertificate, Fingerprint};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A proxy that the tests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    HaProxy,
    Caddy,
    Apache,
}

impl Kind {
    fn template(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("nginx.conf"),
            Self::HaProxy => include_str!("haproxy.cfg"),
            Self::Caddy => include_str!("Caddyfile"),
            Self::Apache => include_str!("apache2.conf"),
        }
    }

    fn command(self, config: &Path) -> Command {
        let (program, before): (_, &[&str]) = match self {
            Self::Nginx => ("nginx", &["-e", "stderr", "-c"]),
            Self::HaProxy => ("haproxy", &["-W", "-q", "-f"]),
            Self::Caddy => ("caddy", &["run", "--adapter", "caddyfile", "--config"]),
            Self::Apache => ("apache2", &["-DFOREGROUND", "-f"]),
        };
        let mut command = Command::new(program);
        command.args(before).arg(config);
        command
    }
}

/// A running proxy; killed when dropped.
pub(crate) struct Proxy {
    kind: Kind,
    dir: PathBuf,
    port: u16,
    child: Child,
    pub(crate) pin: Fingerprint,
}

impl Proxy {
    /// Starts one before a backend and, where the proxy asks for it, an authenticator at these ports.
    pub(crate) async fn start(kind: Kind, dir: &Path, backend: u16, auth: u16) -> Self {
        let certificate = DevCertificate::new(["localhost", "127.0.0.1"]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("cert.pem", certificate.certificate_pem());
        write("key.pem", certificate.key_pem());
        write("both.pem", &format!("{}{}", certificate.certificate_pem(), certificate.key_pem()));
        let (port, admin) = (free_port(), free_port());
        let mut config = kind.template().to_owned();
        for (name, value) in [
            ("@DIR@", dir.display().to_string()),
            ("@MODULES@", "/usr/lib/apache2/modules".to_owned()),
            ("@PORT@", port.to_string()),
            ("@BACKEND@", backend.to_string()),
            ("@AUTH@", auth.to_string()),
            ("@ADMIN@", admin.to_string()),
        ] {
            config = config.replace(name, &value);
        }
        write("config", &config);
        let child = spawn(kind, dir);
        let proxy = Self { kind, dir: dir.to_owned(), port, child, pin: certificate.fingerprint() };
        proxy.answers().await;
        proxy
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Reads the configuration again; new connections are new workers'.
    pub(crate) async fn reload(&self) {
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
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// Kills every process of it at once.
    pub(crate) fn kill(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Starts it again, as it was.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.kind, &self.dir);
        self.answers().await;
    }

    async fn answers(&self) {
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?} does not listen", self.kind);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In a process group of its own, so that its workers can be killed with it.
fn spawn(kind: Kind, dir: &Path) -> Child {
    let mut command = kind.command(&dir.join("config"));
    let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    child.unwrap_or_else(|error| panic!("{kind:?}: {error}; run tests/setup-peers.sh"))
}

/// Free a moment ago; nobody else takes it as long as everybody asks the system.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
