//! The steps of a conversation with a machine (spec/vectors/README.md), played against a testee.

use std::collections::HashMap;

use super::peer::{Failure, Testee};
use super::wire;
use crate::json::{Fields, Json, hex, json, shorten};

/// Why a case did not pass.
#[derive(Debug)]
pub(super) enum Trouble {
    Failed(String),
    /// The testee cannot do what the case needs.
    Skipped(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure.name() {
            Some("NOT_SUPPORTED") => Self::Skipped(failure.to_string()),
            _ => Self::Failed(failure.to_string()),
        }
    }
}

/// What a vector says wrong, or a comparison that failed.
impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

pub(super) fn failed<T>(text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Failed(text.into()))
}

/// How the bytes of a `recv` are handed over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Cut {
    Whole,
    ByteByByte,
    At(usize),
}

/// So many pieces of what is handed over byte by byte, at the most.
const MOST_PIECES: usize = 2048;

impl Cut {
    pub(super) fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            // Of a lot of bytes several at a time: each piece is a request.
            Self::ByteByByte => bytes.chunks(1 + bytes.len() / MOST_PIECES).collect(),
            Self::At(at) if at < bytes.len() => vec![&bytes[..at], &bytes[at..]],
            _ => vec![bytes],
        }
    }
}

/// A machine of the testee and what is known of it.
pub(super) struct Machine<'a> {
    testee: &'a Testee,
    m: u64,
    /// Frames that it has sent and no step has looked at.
    pub(super) sent: Vec<Json>,
    events: Vec<Json>,
    pub(super) over: Json,
    names: HashMap<String, Json>,
}

impl<'a> Machine<'a> {
    /// A new machine, its preface and hello among what it has sent.
    pub(super) async fn new(testee: &'a Testee, entry: &Json) -> Result<Self, Trouble> {
        let mut machine = Machine {
            testee,
            m: 1,
            sent: Vec::new(),
            events: Vec::new(),
            over: Json::Null,
            names: HashMap::new(),
        };
        let role = entry.field("role").as_str().unwrap_or("dialer");
        let arguments = json!({"role": role, "hello": entry.field("hello"), "local": entry.field("local")});
        machine.request("machine.new", arguments).await?;
        Ok(machine)
    }

    /// The same with both hellos exchanged, unless the entry is raw.
    pub(super) async fn established(testee: &'a Testee, entry: &Json) -> Result<Self, Trouble> {
        let mut machine = Self::new(testee, entry).await?;
        if !entry.flag("raw") {
            let peer = wire::encode(&wire::default_hello(entry.field("peer")))?;
            machine.receive(&[&wire::PREFACE[..], &peer].concat(), Cut::Whole).await?;
            if !machine.over.is_null() {
                return failed(format!("the session is over after the hellos: {}", machine.over));
            }
            machine.sent.clear();
            machine.events.clear();
        }
        Ok(machine)
    }

    /// Makes a request of the machine; gives `gives`.
    async fn request(&mut self, verb: &str, mut arguments: Json) -> Result<Json, Trouble> {
        arguments["m"] = self.m.into();
        let reply = self.testee.ask(verb, arguments).await?;
        let frames = wire::split(&reply.bytes("out")?)
            .map_err(|why| format!("what the machine sends are no frames: {why} ({})", reply.field("out")))?;
        self.sent.extend(frames);
        self.events.extend(reply.list("events")?.iter().cloned());
        self.over = reply.field("over").clone();
        Ok(reply.field("gives").clone())
    }

    pub(super) async fn receive(&mut self, bytes: &[u8], cut: Cut) -> Result<(), Trouble> {
        for piece in cut.pieces(bytes) {
            self.request("machine.recv", json!({"hex": hex(piece)})).await?;
        }
        Ok(())
    }

    /// Plays steps; the text of a failure names the one that failed.
    pub(super) async fn play(&mut self, steps: &[Json], cut: Cut) -> Result<(), Trouble> {
        for (at, step) in steps.iter().enumerate() {
            self.step(step, cut).await.map_err(|trouble| match trouble {
                Trouble::Failed(why) => {
                    Trouble::Failed(format!("step {} {}: {why}", at + 1, shorten(&step.to_string(), 200)))
                }
                skipped => skipped,
            })?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Json, cut: Cut) -> Result<(), Trouble> {
        let Some(kind) = STEPS.into_iter().find(|kind| step.get(kind).is_some()) else {
            return failed("there is no such step");
        };
        let what = step.field(kind);
        match kind {
            "app" => {
                let arguments = self.fill_in(&wire::expand(what)?)?;
                let gives = self.request("machine.app", arguments).await?;
                self.compare("gives", &wire::expand(step.field("gives"))?, &gives)?;
            }
            "recv" => {
                let bytes = wire::bytes_of(&with_default_hellos(&self.fill_in(what)?))?;
                self.receive(&bytes, cut).await?;
            }
            "tick" => drop(self.request("machine.tick", json!({"now": what})).await?),
            "eof" => drop(self.request("machine.eof", json!({})).await?),
            "expect" => {
                let sent = std::mem::take(&mut self.sent);
                self.compare("sent", &wire::expand(what)?, &sent.into())?;
            }
            "any_order" => {
                let sent = std::mem::take(&mut self.sent);
                self.compare_any_order(&wire::expand(what)?, sent)?;
            }
            "events" => {
                let events = std::mem::take(&mut self.events);
                self.compare("events", &wire::expand(what)?, &events.into())?;
            }
            "quiet" => self.check_quiet()?,
            "skip" => self.sent.clear(),
            _ => {
                let over = self.over.clone();
                self.compare("over", what, &over)?;
            }
        }
        Ok(())
    }

    /// Nothing was sent that no step has looked at.
    pub(super) fn check_quiet(&self) -> Result<(), Trouble> {
        if self.sent.is_empty() {
            return Ok(());
        }
        failed(format!("sent and not expected: {}", Json::from(self.sent.clone())))
    }

    /// Forgets the machine.
    pub(super) async fn end(self) -> Result<(), Trouble> {
        self.testee.ask("machine.drop", json!({"m": self.m})).await?;
        Ok(())
    }

    /// Puts what names stand for in their place.
    fn fill_in(&self, json: &Json) -> Result<Json, String> {
        Ok(match json {
            Json::String(name) if name.starts_with('$') => {
                self.names.get(name).cloned().ok_or_else(|| format!("nothing is bound to {name} yet"))?
            }
            Json::Array(list) => list.iter().map(|json| self.fill_in(json)).collect::<Result<_, _>>()?,
            Json::Object(object) => {
                let entry = |(name, value): (&String, &Json)| Ok((name.clone(), self.fill_in(value)?));
                Json::Object(object.iter().map(entry).collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    fn compare(&mut self, what: &str, expected: &Json, actual: &Json) -> Result<(), Trouble> {
        if what != "over" && expected.is_null() {
            return Ok(());
        }
        let mut names = self.names.clone();
        if fits(expected, actual, &mut names) {
            self.names = names;
            return Ok(());
        }
        failed(format!("{what} is {}", shorten(&actual.to_string(), 1000)))
    }

    fn compare_any_order(&mut self, expected: &Json, mut actual: Vec<Json>) -> Result<(), Trouble> {
        let all = Json::from(actual.clone());
        for frame in expected.as_array().into_iter().flatten() {
            let names = &mut self.names;
            match actual.iter().position(|sent| fits(frame, sent, names)) {
                Some(at) => drop(actual.remove(at)),
                None => return failed(format!("{frame} is not in {all}")),
            }
        }
        if actual.is_empty() { Ok(()) } else { failed(format!("more was sent: {all}")) }
    }
}

/// What a HELLO among these frames does not state has its default.
fn with_default_hellos(frames: &Json) -> Json {
    let whole = |frame: &Json| match frame.field("t") {
        name if name == "HELLO" => wire::default_hello(frame),
        _ => frame.clone(),
    };
    frames.as_array().map_or_else(|| frames.clone(), |frames| frames.iter().map(whole).collect())
}

const STEPS: [&str; 10] =
    ["app", "recv", "tick", "eof", "expect", "any_order", "events", "quiet", "skip", "over"];

/// Whether `actual` has all that stands in `expected`. Fields of objects that do not stand there are free; lists have to be
/// of one length. A `$name` is bound to what it meets first and equals that from then on.
fn fits(expected: &Json, actual: &Json, names: &mut HashMap<String, Json>) -> bool {
    match (expected, actual) {
        (Json::String(name), _) if name.starts_with('$') => {
            names.entry(name.clone()).or_insert_with(|| actual.clone()) == actual
        }
        (Json::Object(expected), Json::Object(_)) => {
            expected.iter().all(|(name, value)| fits(value, &zero_if_absent(actual, name, value), names))
        }
        (Json::Array(expected), Json::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(expected, actual)| fits(expected, actual, names))
        }
        (Json::Number(expected), Json::Number(actual)) => expected.as_f64() == actual.as_f64(),
        (expected, actual) => expected == actual,
    }
}

/// A field that is absent has its zero value.
fn zero_if_absent(object: &Json, name: &str, like: &Json) -> Json {
    match (object.get(name), like) {
        (Some(value), _) => value.clone(),
        (None, Json::Number(_)) => 0.into(),
        (None, Json::String(text)) if !text.starts_with('$') => "".into(),
        (None, Json::Array(_)) => json!([]),
        (None, Json::Bool(_)) => false.into(),
        (None, _) => Json::Null,
    }
}
