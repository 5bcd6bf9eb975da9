//! Who may attach: the names behind tokens and client certificates, by one hook for every transport.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use libchan::Admission;
use libchan_transports::{Authorize, Candidate, Refusal};

use super::lines::{self, Line};

/// A tokens file: a name and its token a line. A name may have several, so that one can be replaced by another.
pub(crate) struct Tokens {
    entries: Vec<(String, Box<[u8]>)>,
}

impl Tokens {
    /// # Errors
    /// It cannot be read, or a line is wrong: the text names the file and the line, and never a token.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let tokens = Self::of(&lines::read(file)?)?;
        if tokens.entries.is_empty() {
            return Err(format!("{}: no token, so nobody could attach", file.display()));
        }
        Ok(tokens)
    }

    fn of(lines: &[Line]) -> Result<Self, String> {
        let mut entries: Vec<(String, Box<[u8]>)> = Vec::new();
        for line in lines {
            let [name, token] = &line.words[..] else {
                return Err(line.wrong("a line is NAME TOKEN"));
            };
            let token = token.text.as_bytes();
            // What travels in a header, where blanks around it are cut off.
            if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
                return Err(line.wrong("a token is visible ASCII characters without blanks"));
            }
            if entries.iter().any(|(_, known)| **known == *token) {
                return Err(line.wrong("this token stands above already"));
            }
            entries.push((name.text.clone(), token.into()));
        }
        Ok(Self { entries })
    }

    /// Whose token it is. How long this takes does not depend on how much of it is right.
    pub(crate) fn owner(&self, token: &str) -> Option<&str> {
        let mut owner = None;
        for (name, known) in &self.entries {
            if same(known, token.as_bytes()) {
                owner = Some(name.as_str());
            }
        }
        owner
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b)));
    one.len() == other.len() && differs == 0
}

/// The hook of every listener: a client certificate names an application, or its token does.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) tokens: Option<Arc<Tokens>>,
}

impl Gate {
    fn by_token(&self, token: &str) -> Result<String, Refusal> {
        let owner = self.tokens.as_ref().and_then(|tokens| tokens.owner(token));
        owner.map(str::to_owned).ok_or_else(|| Refusal::unauthorized("the token is not known here"))
    }
}

#[async_trait]
impl Authorize for Gate {
    async fn link(&self, peer: Candidate<'_>) -> Result<Option<Admission>, Refusal> {
        if let Some(subject) = peer.subject() {
            let name = subject.dns_names.into_iter().next().or(subject.common_name);
            return name
                .map(|name| Some(name.into()))
                .ok_or_else(|| Refusal::forbidden("the certificate names nobody"));
        }
        peer.bearer().map(|token| Ok(self.by_token(token)?.into())).transpose()
    }

    async fn hello(&self, peer: Candidate<'_>) -> Result<Admission, Refusal> {
        match (&self.tokens, peer.bearer()) {
            (Some(_), Some(token)) => Ok(self.by_token(token)?.into()),
            (Some(_), None) => Err(Refusal::unauthorized("this relay wants a bearer token")),
            (None, _) => Err(Refusal::unauthorized("this relay wants a client certificate")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Tokens, String> {
        Tokens::of(&lines::parse("tokens", text)?)
    }

    #[test]
    fn a_token_has_an_owner() {
        let tokens = tokens("alice one # hers\nalice two\nbob three").unwrap();
        assert_eq!(tokens.owner("two"), Some("alice"));
        assert_eq!(tokens.owner("three"), Some("bob"));
        for wrong in ["", "on", "onee", "four", "alice"] {
            assert_eq!(tokens.owner(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_no_token_told() {
        for (text, why) in [
            ("alice", "tokens:1: a line is NAME TOKEN"),
            ("a secret1\nb secret1", "tokens:2: this token stands above already"),
            ("a \"sec ret\"", "tokens:1: a token is visible ASCII"),
            ("a secret x", "tokens:1: a line is NAME TOKEN"),
        ] {
            let error = tokens(text).err().unwrap();
            assert!(error.starts_with(why) && !error.contains("secret"), "{error}");
        }
    }
}
