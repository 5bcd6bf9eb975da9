//! What requests, replies and vectors are written in: fields with a zero value, bytes as hexadecimal text, metadata.

pub(crate) use serde_json::{Value as Json, json};

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of hexadecimal text; spaces are skipped, so that vectors can be read by people.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("not hexadecimal: {}", shorten(text, 60));
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for digit in text.bytes().filter(|byte| *byte != b' ') {
        let value = char::from(digit).to_digit(16).ok_or_else(wrong)? as u8;
        match high.take() {
            None => high = Some(value),
            Some(high) => bytes.push(high << 4 | value),
        }
    }
    if high.is_none() { Ok(bytes) } else { Err(wrong()) }
}

/// The first `most` characters of a text, with a mark if that is not all.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}... ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// Fields of an object; those that are absent have their zero value.
pub(crate) trait Fields {
    /// A field, null if it is not there.
    fn field(&self, name: &str) -> &Json;

    /// A whole number that is not negative.
    fn number(&self, name: &str) -> Result<u64, String> {
        match self.field(name) {
            Json::Null => Ok(0),
            value => value.as_u64().ok_or_else(|| format!("`{name}` is no whole number: {value}")),
        }
    }

    /// A number that fits `T`.
    fn small<T: TryFrom<u64>>(&self, name: &str) -> Result<T, String> {
        let number = self.number(name)?;
        T::try_from(number).map_err(|_| format!("`{name}` is too large: {number}"))
    }

    /// A text.
    fn text(&self, name: &str) -> Result<&str, String> {
        match self.field(name) {
            Json::Null => Ok(""),
            value => value.as_str().ok_or_else(|| format!("`{name}` is no text: {value}")),
        }
    }

    /// Bytes.
    fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        unhex(self.text(name)?)
    }

    /// A list.
    fn list(&self, name: &str) -> Result<&[Json], String> {
        match self.field(name) {
            Json::Null => Ok(&[]),
            value => {
                value.as_array().map(Vec::as_slice).ok_or_else(|| format!("`{name}` is no list: {value}"))
            }
        }
    }

    /// True or false.
    fn flag(&self, name: &str) -> bool {
        self.field(name) == &Json::Bool(true)
    }

    /// A list of `[key, hex]`.
    fn metadata(&self, name: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        let wrong = |entry: &Json| format!("`{name}` has an entry that is no [key, hex]: {entry}");
        let entry = |entry: &Json| match entry.as_array().map(Vec::as_slice) {
            Some([Json::String(key), Json::String(value)]) => Ok((key.clone(), unhex(value)?)),
            _ => Err(wrong(entry)),
        };
        self.list(name)?.iter().map(entry).collect()
    }
}

impl Fields for Json {
    fn field(&self, name: &str) -> &Json {
        self.get(name).unwrap_or(&Self::Null)
    }
}
