//! Who a command believes, and who it says it is: the options of every command that dials.

use std::path::PathBuf;

use libchan::SessionOptions;
use libchan_transports::DialOptions;
use libchan_transports::tls::{Fingerprint, TlsClientOptions, TlsSource};

/// Where the token comes from: an argument would be seen by every user of the machine.
const TOKEN: &str = "LIBCHAN_TOKEN";

#[derive(clap::Args)]
pub(crate) struct Credentials {
    /// Believes the certificate with this fingerprint alone, whoever has signed it: `sha256:` and 64 digits, as `libchan
    /// certificate` prints it.
    #[arg(long, value_name = "FINGERPRINT")]
    pin: Option<Fingerprint>,
    /// Believes certificates that lead to one of those in this file, PEM or DER, in the place of the platform's.
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    root: Option<PathBuf>,
    /// Shows the certificate in this file, PEM or DER, if the server asks for one. In PEM the chain and the key may stand
    /// in one file.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The key of --identity, where it stands in a file of its own.
    #[arg(long, value_name = "FILE", requires = "identity")]
    key: Option<PathBuf>,
}

impl Credentials {
    /// The options of a dial.
    pub(crate) fn options(&self) -> DialOptions {
        let mut tls = TlsClientOptions::new();
        if let Some(pin) = self.pin {
            tls = tls.pin(pin);
        }
        if let Some(file) = &self.root {
            tls = tls.root(TlsSource::file(file));
        }
        if let Some(chain) = &self.identity {
            let key = self.key.as_ref().unwrap_or(chain);
            tls = tls.identity(TlsSource::file(chain), TlsSource::file(key));
        }
        let mut session = SessionOptions::new();
        if let Ok(token) = std::env::var(TOKEN) {
            session = session.bearer(token);
        }
        DialOptions::default().tls(tls).session(session)
    }
}
