//! The files of a relay: a line an entry, words between blanks, `#` begins a comment. A word in double quotes may hold blanks
//! and escapes, as a string of JSON does, and is taken as it is.

use std::path::Path;

/// A word of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// It stood in quotes: a `*` in it is a star.
    pub(super) quoted: bool,
}

/// An entry: its words, and what its errors begin with.
pub(super) struct Line {
    place: String,
    pub(super) words: Vec<Word>,
}

impl Line {
    /// An error of this line.
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.place)
    }
}

/// The entries of a file.
///
/// # Errors
/// It cannot be read, or a line is no words: the text names the file and the line.
pub(super) fn read(file: &Path) -> Result<Vec<Line>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    parse(&file.display().to_string(), &text)
}

/// The entries of a text.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        let words = words(line).map_err(|why| format!("{place}: {why}"))?;
        if !words.is_empty() {
            lines.push(Line { place, words });
        }
    }
    Ok(lines)
}

fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let quoted = rest.starts_with('"');
        let end =
            if quoted { end_of_quotes(rest)? } else { rest.find(char::is_whitespace).unwrap_or(rest.len()) };
        let (word, after) = rest.split_at(end);
        let text = if quoted {
            serde_json::from_str(word).map_err(|error| format!("{word} is no string: {error}"))?
        } else {
            word.to_owned()
        };
        words.push(Word { text, quoted });
        if quoted && after.starts_with(|c: char| !c.is_whitespace()) {
            return Err(format!("a blank is wanted behind {word}"));
        }
        rest = after.trim_start();
    }
    Ok(words)
}

/// Where a word that begins with a quote ends.
fn end_of_quotes(text: &str) -> Result<usize, String> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(at + 1),
            _ => {}
        }
    }
    Err(format!("{text} has no closing quote"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_comments() {
        let lines = parse("f", "# nothing\n\n  alice\tsesame # hers\n\"a b*\" x#y \"\\u00fc\"").unwrap();
        let read: Vec<Vec<(&str, bool)>> = lines
            .iter()
            .map(|line| line.words.iter().map(|w| (w.text.as_str(), w.quoted)).collect())
            .collect();
        assert_eq!(
            read,
            [vec![("alice", false), ("sesame", false)], vec![("a b*", true), ("x#y", false), ("ü", true)]]
        );
        assert_eq!(lines[1].wrong("no"), "f:4: no");
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, why) in [
            ("a\n\"b", "f:2: \"b has no closing quote"),
            ("\"b\"c", "f:1: a blank is wanted behind \"b\""),
            ("\"\\q\"", "f:1: \"\\q\" is no string"),
        ] {
            let error = parse("f", text).err().unwrap();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
