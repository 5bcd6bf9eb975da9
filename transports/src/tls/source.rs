//! Where certificates, keys and revocation lists come from: files, or memory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::TlsConfigError;

/// Where certificates, a key or revocation lists come from. `Debug` shows no content.
#[derive(Clone)]
pub struct TlsSource(Kind);

#[derive(Clone)]
enum Kind {
    File(PathBuf),
    Pem(Arc<[u8]>),
    Der(Arc<[u8]>),
}

impl TlsSource {
    /// A file, PEM or DER: a file with a line that begins `-----BEGIN` is PEM, any other is DER and holds exactly one
    /// certificate, key or list. It is read when the options are put to use, and again at a reload.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// PEM in memory: one or more sections.
    pub fn pem(text: impl AsRef<[u8]>) -> Self {
        Self(Kind::Pem(text.as_ref().into()))
    }

    /// DER in memory: exactly one certificate, key or list.
    pub fn der(bytes: impl AsRef<[u8]>) -> Self {
        Self(Kind::Der(bytes.as_ref().into()))
    }

    /// Every certificate, in order; at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        match self.binary()? {
            Some(bytes) => Ok(vec![CertificateDer::from(bytes)]),
            None => self.sections("certificate"),
        }
    }

    /// What is DER, by what its user said or by how a file looks.
    fn binary(&self) -> Result<Option<Vec<u8>>, TlsConfigError> {
        const BEGIN: &[u8] = b"-----BEGIN";
        match &self.0 {
            Kind::Der(bytes) => Ok(Some(bytes.to_vec())),
            Kind::Pem(_) => Ok(None),
            Kind::File(_) => {
                let bytes = self.text()?;
                let is_pem = bytes.windows(BEGIN.len()).any(|window| window == BEGIN);
                // Every DER of ours is a SEQUENCE: what is neither is better explained as bad PEM.
                Ok((!is_pem && bytes.first() == Some(&0x30)).then(|| bytes.to_vec()))
            }
        }
    }

    /// Every revocation list; at least one.
    pub(super) fn revocation_lists(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
        match self.binary()? {
            Some(bytes) => Ok(vec![CertificateRevocationListDer::from(bytes)]),
            None => self.sections("revocation list"),
        }
    }

    /// The first private key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        if let Some(bytes) = self.binary()? {
            let key = PrivateKeyDer::try_from(bytes);
            return key.map_err(|why| TlsConfigError::BadKey(why.to_owned()));
        }
        let text = self.text()?;
        if text.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
            return Err(self.bad_pem("private key", "it is encrypted; decrypt it first".to_owned()));
        }
        PrivateKeyDer::from_pem_slice(&text).map_err(|why| self.bad_pem("private key", problem(&why)))
    }

    fn sections<T: PemObject>(&self, wanted: &'static str) -> Result<Vec<T>, TlsConfigError> {
        let found: Result<Vec<T>, _> = T::pem_slice_iter(&self.text()?).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.bad_pem(wanted, problem(&pem::Error::NoItemsFound))),
            Err(why) => Err(self.bad_pem(wanted, problem(&why))),
        }
    }

    fn text(&self) -> Result<Arc<[u8]>, TlsConfigError> {
        match &self.0 {
            Kind::Pem(bytes) | Kind::Der(bytes) => Ok(bytes.clone()),
            Kind::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(TlsConfigError::Unreadable { path: path.clone(), source: error.into() }),
            },
        }
    }

    fn bad_pem(&self, wanted: &'static str, problem: String) -> TlsConfigError {
        TlsConfigError::BadPem { from: self.to_string(), wanted, problem }
    }
}

const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";

/// What is wrong, without a line of the text: it may be of a key.
fn problem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is no such section".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a section's first line is malformed".to_owned(),
        pem::Error::Base64Decode(_) => "a section is not base64".to_owned(),
        pem::Error::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(path) => path.display().fmt(f),
            Kind::Pem(text) => write!(f, "the given text of {} bytes", text.len()),
            Kind::Der(bytes) => write!(f, "the given {} bytes", bytes.len()),
        }
    }
}

impl fmt::Debug for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsSource({self})")
    }
}
