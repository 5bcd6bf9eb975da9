//! Whom a certificate is for: its names, so that an authorize hook needs no parser of its own.

use std::fmt;
use std::net::IpAddr;

use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// The names in a certificate: whom it is for.
///
/// That somebody we believe vouches for them is what the TLS handshake has verified; see
/// [`Candidate::subject`](crate::Candidate::subject). New certificates name servers and clients in their alternative
/// names; the common name is a text for people that many client certificates still rest on.
///
/// ```
/// use libchan_transports::{Candidate, ListenOptions, Refusal};
///
/// // Every client with a certificate has a session, under the first name that the certificate gives it.
/// let options = ListenOptions::default().authorize(|peer: &Candidate<'_>| {
///     let subject = peer.subject().ok_or_else(|| Refusal::unauthorized("show a certificate"))?;
///     let name = subject.dns_names.first().or(subject.common_name.as_ref());
///     name.cloned().ok_or_else(|| Refusal::forbidden("the certificate names nobody"))
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// The common name (CN) of the subject; of several, the last, which is the most specific.
    pub common_name: Option<String>,
    /// Alternative names that are host names: `build.example`, `*.example.org`.
    pub dns_names: Vec<String>,
    /// Alternative names that are addresses.
    pub addresses: Vec<IpAddr>,
    /// Alternative names that are mail addresses.
    pub emails: Vec<String>,
    /// Alternative names that are URIs, such as `spiffe://example.org/build`.
    pub uris: Vec<String>,
}

impl Subject {
    /// Reads a certificate, given as DER: for example the first one in
    /// [`LinkInfo::certificates`](libchan::LinkInfo::certificates).
    ///
    /// # Errors
    /// It is not a certificate, or something follows it.
    pub fn of(certificate: &[u8]) -> Result<Self, SubjectError> {
        let wrong = |why: String| SubjectError { why };
        let (rest, certificate) =
            X509Certificate::from_der(certificate).map_err(|error| wrong(error.to_string()))?;
        if !rest.is_empty() {
            return Err(wrong(format!("{} bytes follow it", rest.len())));
        }
        let common_name = certificate.subject().iter_common_name().last();
        let mut subject = Self {
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            ..Self::default()
        };
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                names.general_names.iter().for_each(|name| subject.add(name));
            }
        }
        Ok(subject)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(email) => self.emails.push((*email).to_owned()),
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.addresses.extend(address.ok());
            }
            _ => {}
        }
    }
}

/// Why a certificate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectError {
    why: String,
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate cannot be read: {}", self.why)
    }
}

impl std::error::Error for SubjectError {}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn the_names_of_a_certificate() {
        let mut params =
            CertificateParams::new(["build.example".to_owned(), "10.0.0.7".to_owned(), "::1".to_owned()])
                .unwrap();
        params.distinguished_name.push(DnType::CommonName, "the builder");
        params.subject_alt_names.push(SanType::URI("spiffe://example/build".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("ops@build.example".try_into().unwrap()));
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let expected = Subject {
            common_name: Some("the builder".to_owned()),
            dns_names: vec!["build.example".to_owned()],
            addresses: vec!["10.0.0.7".parse().unwrap(), "::1".parse().unwrap()],
            emails: vec!["ops@build.example".to_owned()],
            uris: vec!["spiffe://example/build".to_owned()],
        };
        assert_eq!(Subject::of(&der), Ok(expected));
        // Nothing that is cut short, longer or other is a certificate, and nothing panics.
        for cut in 0..der.len() {
            assert!(Subject::of(&der[..cut]).is_err());
        }
        assert!(Subject::of(&[der, vec![0]].concat()).unwrap_err().to_string().contains("1 bytes follow"));
    }
}
