//! `libchan certificate`: a self-signed certificate for development, and the fingerprint by which clients pin it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libchan_transports::tls::DevCertificate;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Host names and IP addresses that the certificate is for.
    #[arg(default_values = ["localhost", "127.0.0.1", "::1"], value_name = "NAME")]
    names: Vec<String>,
    /// The folder for certificate.pem and key.pem, made if it is not there. What is there is not overwritten.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match make(args) {
        Ok(fingerprint) => {
            println!("{fingerprint}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("libchan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(args: &Args) -> Result<String, Box<dyn std::error::Error>> {
    let made = DevCertificate::new(args.names.iter().cloned())?;
    let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(&args.out).map_err(|error| told(&args.out, error))?;
    // The key first: a certificate whose key could not be written would be of no use.
    for (name, mode, text) in
        [("key.pem", 0o600, made.key_pem()), ("certificate.pem", 0o644, made.certificate_pem())]
    {
        let path = args.out.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(|error| told(&path, error))?;
        file.write_all(text.as_bytes()).map_err(|error| told(&path, error))?;
    }
    Ok(made.fingerprint().to_string())
}
