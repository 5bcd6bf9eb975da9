//! The rights file: who may do what with which clusters and topics. What no line allows is refused.

use std::path::Path;

use libchan_iris::{Act, Rights};

use super::lines::{self, Line, Word};

/// What a line may allow.
const ACTS: [&str; 7] = ["request", "broadcast", "tunnel", "register", "publish", "subscribe", "status"];
/// The place of that which concerns the relay, not a cluster or topic.
const STATUS: usize = 6;

/// The lines of a rights file.
pub(crate) struct RightsFile {
    rules: Vec<Rule>,
}

struct Rule {
    who: Who,
    /// By the places in [`ACTS`].
    acts: [bool; ACTS.len()],
    names: Vec<Pattern>,
}

enum Who {
    Everybody,
    Named,
    Nameless,
    One(Pattern),
}

enum Pattern {
    Exactly(String),
    Prefix(String),
}

impl RightsFile {
    /// # Errors
    /// It cannot be read, or a line is wrong: the text names the file and the line.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        Self::of(&lines::read(file)?)
    }

    fn of(lines: &[Line]) -> Result<Self, String> {
        let rules = lines.iter().map(|line| rule(&line.words).map_err(|why| line.wrong(why)));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// Whether `who` may see the status page.
    pub(crate) fn allows_status(&self, who: Option<&str>) -> bool {
        self.rules.iter().any(|rule| rule.acts[STATUS] && rule.who.is(who))
    }
}

impl Rights for RightsFile {
    fn allows(&self, who: Option<&str>, act: Act<'_>) -> bool {
        let (act, name) = match act {
            Act::Request(name) => (0, name),
            Act::Broadcast(name) => (1, name),
            Act::Tunnel(name) => (2, name),
            Act::Register(name) => (3, name),
            Act::Publish(name) => (4, name),
            Act::Subscribe(name) => (5, name),
            // A later kind of act has no word here yet, so nobody was given a right to it.
            _ => return false,
        };
        let allows = |rule: &Rule| {
            rule.acts[act] && rule.who.is(who) && rule.names.iter().any(|pattern| pattern.matches(name))
        };
        self.rules.iter().any(allows)
    }
}

fn rule(words: &[Word]) -> Result<Rule, String> {
    let [who, acts, names @ ..] = words else {
        return Err("a line is WHO ACT,... NAME...: `alice request,tunnel orders billing.*`".to_owned());
    };
    let who = match (who.quoted, who.text.as_str()) {
        (false, "*") => Who::Everybody,
        (false, "+") => Who::Named,
        (false, "-") => Who::Nameless,
        _ => Who::One(pattern(who)?),
    };
    let acts = acts_of(&acts.text)?;
    if names.is_empty() && acts[..STATUS].contains(&true) {
        return Err("the clusters or topics are missing: names, or `*` for all".to_owned());
    }
    Ok(Rule { who, acts, names: names.iter().map(pattern).collect::<Result<_, _>>()? })
}

fn acts_of(text: &str) -> Result<[bool; ACTS.len()], String> {
    let mut acts = [false; ACTS.len()];
    if text == "*" {
        // To see the status of all clusters is asked for by name.
        acts[..STATUS].fill(true);
        return Ok(acts);
    }
    for word in text.split(',') {
        match ACTS.iter().position(|act| *act == word) {
            Some(place) => acts[place] = true,
            None => return Err(format!("{word:?} is no act: {}, or * for the first six", ACTS.join(", "))),
        }
    }
    Ok(acts)
}

fn pattern(word: &Word) -> Result<Pattern, String> {
    if word.quoted {
        return Ok(Pattern::Exactly(word.text.clone()));
    }
    match word.text.split_once('*') {
        None => Ok(Pattern::Exactly(word.text.clone())),
        Some((prefix, "")) => Ok(Pattern::Prefix(prefix.to_owned())),
        Some(_) => Err(format!(
            "{:?} has a * that is not at its end, where it stands for any rest; in quotes a * is a star",
            word.text
        )),
    }
}

impl Who {
    fn is(&self, who: Option<&str>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Named => who.is_some(),
            Self::Nameless => who.is_none(),
            Self::One(pattern) => who.is_some_and(|who| pattern.matches(who)),
        }
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(text) => text == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(text: &str) -> Result<RightsFile, String> {
        RightsFile::of(&lines::parse("rights", text)?)
    }

    #[test]
    fn what_a_line_allows_and_nothing_else() {
        let rights = rights(
            "alice request,broadcast orders billing.*\n* subscribe news\n+ publish named\n- tunnel nameless\n\
             \"a*\" register \"star*\"\nops status\nroot * *",
        )
        .unwrap();
        let alice = Some("alice");
        for (who, act, allowed) in [
            (alice, Act::Request("orders"), true),
            (alice, Act::Request("orders2"), false),
            (alice, Act::Broadcast("billing.eu"), true),
            (alice, Act::Broadcast("billing"), false),
            (alice, Act::Tunnel("orders"), false),
            (Some("alice2"), Act::Request("orders"), false),
            (None, Act::Request("orders"), false),
            (None, Act::Subscribe("news"), true),
            (alice, Act::Subscribe("news"), true),
            (alice, Act::Publish("named"), true),
            (None, Act::Publish("named"), false),
            (None, Act::Tunnel("nameless"), true),
            (alice, Act::Tunnel("nameless"), false),
            (Some("a*"), Act::Register("star*"), true),
            (Some("ab"), Act::Register("star*"), false),
            (Some("a*"), Act::Register("stars"), false),
            (Some("root"), Act::Register("anything"), true),
        ] {
            assert_eq!(rights.allows(who, act), allowed, "{who:?} {act:?}");
        }
        assert!(rights.allows_status(Some("ops")));
        assert!(!rights.allows_status(Some("root")) && !rights.allows_status(None));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, why) in [
            ("alice", "rights:1: a line is WHO ACT,... NAME..."),
            ("\n\nalice reqest orders", "rights:3: \"reqest\" is no act: request, broadcast, tunnel"),
            ("alice request", "rights:1: the clusters or topics are missing"),
            ("alice request,status", "rights:1: the clusters or topics are missing"),
            ("alice request or*ders", "rights:1: \"or*ders\" has a * that is not at its end"),
            ("alice request, orders", "rights:1: \"\" is no act"),
        ] {
            let error = rights(text).err().unwrap();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
