//! One of the testees that take part in a live case, and what it holds in it.

use std::cell::RefCell;

use super::super::peer::{Answer, Pending, Testee};
use super::super::steps::{Trouble, failed};
use super::Done;
use crate::json::{Fields, Json, json};

/// The kinds of handles, under which replies name them.
const KINDS: [&str; 5] = ["sender", "receiver", "stream", "fd", "other"];

/// A handle of a testee's.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct End {
    kind: &'static str,
    number: u64,
}

impl End {
    /// As it stands in a value.
    pub(in super::super) fn json(self) -> Json {
        json!({self.kind: self.number})
    }

    pub(in super::super) fn is(self, kind: &str) -> bool {
        self.kind == kind
    }
}

pub(in super::super) struct Side<'a> {
    pub(in super::super) testee: &'a Testee,
    session: RefCell<Option<u64>>,
    /// Everything that it was given a handle of, to be dropped at the end.
    held: RefCell<Vec<End>>,
}

impl<'a> Side<'a> {
    pub(in super::super) fn new(testee: &'a Testee) -> Self {
        Self { testee, session: RefCell::new(None), held: RefCell::new(Vec::new()) }
    }

    /// Makes a request and waits for its answer.
    pub(in super::super) async fn ask(&self, verb: &str, arguments: Json) -> Answer {
        let answer = self.testee.ask(verb, arguments).await;
        if let Ok(reply) = &answer {
            self.note(reply);
        }
        answer
    }

    /// Makes a request that may wait.
    pub(in super::super) fn begin(&self, verb: &str, arguments: Json) -> Pending {
        self.testee.begin(verb, arguments)
    }

    /// The answer of a request that may have waited.
    pub(in super::super) async fn answer(&self, mut pending: Pending) -> Answer {
        let answer = pending.answer().await;
        if let Ok(reply) = &answer {
            self.note(reply);
        }
        answer
    }

    /// Remembers the handles in a reply.
    fn note(&self, reply: &Json) {
        match reply {
            Json::Object(object) => {
                for (name, value) in object {
                    match (KINDS.iter().find(|kind| *kind == name), value.as_u64()) {
                        (Some(&"other"), Some(number)) => self.hold("stream", number),
                        (Some(kind), Some(number)) => self.hold(kind, number),
                        _ => self.note(value),
                    }
                }
            }
            Json::Array(list) => list.iter().for_each(|value| self.note(value)),
            _ => {}
        }
    }

    fn hold(&self, kind: &'static str, number: u64) {
        self.held.borrow_mut().push(End { kind, number });
    }

    /// Drops all that it was given, what is void already included.
    pub(in super::super) async fn drop_all(&self) -> Done {
        let held = self.held.take();
        let mut dropped: Vec<Pending> = held.into_iter().map(|end| self.begin("drop", end.json())).collect();
        for pending in &mut dropped {
            match pending.answer().await {
                Err(failure) if failure.name() != Some("NO_SUCH_HANDLE") => return Err(failure.into()),
                _ => {}
            }
        }
        Ok(())
    }

    // ---- sessions

    pub(in super::super) fn set_session(&self, session: u64) {
        *self.session.borrow_mut() = Some(session);
    }

    pub(in super::super) fn session(&self) -> Json {
        (*self.session.borrow()).into()
    }

    /// Closes the session in good order, if it has one.
    pub(in super::super) fn begin_leave(&self) -> Option<Pending> {
        let session = self.session.take()?;
        Some(self.begin("leave", json!({"session": session})))
    }

    /// Drains the session, for as many milliseconds at the most. Its handle is void from now on.
    pub(in super::super) async fn begin_drain(&self, within: u64) -> Result<Pending, Trouble> {
        // Who cannot drain says so here: the case is skipped, and does not wait for what a drain brings.
        fails(self.ask("drain", json!({})).await, &["NO_SUCH_HANDLE"])?;
        let session = self.session.take();
        Ok(self.begin("drain", json!({"session": session, "within": within})))
    }

    pub(in super::super) async fn abort(&self) -> Done {
        let session = self.session.take();
        self.ask("abort", json!({"session": session})).await?;
        Ok(())
    }

    /// Forgets the session, which is over.
    pub(in super::super) async fn drop_session(&self) -> Done {
        if let Some(session) = self.session.take() {
            self.ask("drop", json!({"session": session})).await?;
        }
        Ok(())
    }

    pub(in super::super) async fn open(&self, name: &str, capacity: u32) -> Result<End, Trouble> {
        let arguments = json!({"session": self.session(), "name": name, "capacity": capacity});
        end_of(&self.ask("open", arguments).await?, "sender")
    }

    /// The next channel that the peer opens, which must have this name.
    pub(in super::super) async fn incoming(&self, name: &str) -> Result<End, Trouble> {
        let reply = self.ask("incoming", json!({"session": self.session()})).await?;
        match reply.text("name") {
            Ok(known) if known == name && reply.get("receiver").is_some() => end_of(&reply, "receiver"),
            _ => failed(format!("incoming is {reply}, not a channel \"{name}\"")),
        }
    }

    // ---- channels

    /// A channel in the testee itself: its sender and its receiver.
    pub(in super::super) async fn pipe(&self, capacity: u32) -> Result<(End, End), Trouble> {
        let reply = self.ask("pipe", json!({"capacity": capacity})).await?;
        Ok((end_of(&reply, "sender")?, end_of(&reply, "receiver")?))
    }

    pub(in super::super) fn begin_send(&self, to: End, value: impl Into<Json>) -> Pending {
        let mut arguments = to.json();
        arguments["value"] = value.into();
        self.begin("send", arguments)
    }

    pub(in super::super) async fn send(&self, to: End, value: impl Into<Json>) -> Done {
        self.begin_send(to, value).answer().await?;
        Ok(())
    }

    /// A send that must fail with this name; gives `err`.
    pub(in super::super) async fn send_fails(
        &self,
        to: End,
        value: impl Into<Json>,
        name: &str,
    ) -> Result<Json, Trouble> {
        fails(self.begin_send(to, value).answer().await, &[name])
    }

    /// Sends until it fails, which must be with this name: the other side's news may be on its way.
    pub(in super::super) async fn sends_until(&self, to: End, name: &str) -> Result<Json, Trouble> {
        for n in 0..1000 {
            match self.begin_send(to, n).answer().await {
                Ok(_) => {}
                failure => return fails(failure, &[name]),
            }
        }
        failed(format!("1000 sends succeed, and none fails with {name}"))
    }

    pub(in super::super) fn begin_recv(&self, from: End) -> Pending {
        self.begin("recv", from.json())
    }

    pub(in super::super) async fn recv(&self, from: End) -> Result<Json, Trouble> {
        let reply = self.ask("recv", from.json()).await?;
        match reply.get("value") {
            Some(value) => Ok(value.clone()),
            None => failed(format!("recv gives {reply}, and not a value")),
        }
    }

    /// The next message, which must be this.
    pub(in super::super) async fn expect(&self, from: End, expected: impl Into<Json>) -> Done {
        let (expected, value) = (expected.into(), self.recv(from).await?);
        if value == expected {
            Ok(())
        } else {
            failed(format!("recv gives {value} in the place of {expected}"))
        }
    }

    /// The next message, which must be one end of this kind.
    pub(in super::super) async fn recv_end(&self, from: End, kind: &'static str) -> Result<End, Trouble> {
        end_of(&self.recv(from).await?, kind)
    }

    /// The clean end.
    pub(in super::super) async fn expect_end(&self, from: End) -> Done {
        let reply = self.ask("recv", from.json()).await?;
        if reply.flag("end") { Ok(()) } else { failed(format!("recv gives {reply}, and not the end")) }
    }

    /// A recv that must fail with this name; gives `err`.
    pub(in super::super) async fn recv_fails(&self, from: End, name: &str) -> Result<Json, Trouble> {
        fails(self.ask("recv", from.json()).await, &[name])
    }

    /// A recv that must fail because the channel has ended with this code, whatever the text says.
    pub(in super::super) async fn ended_with(&self, from: End, code: u16) -> Done {
        has_code(&self.recv_fails(from, "ENDED_WITH").await?, code)
    }

    /// Sends until one fails because the receiver's side has refused the channel with this code.
    pub(in super::super) async fn refused_with(&self, to: End, code: u16) -> Done {
        has_code(&self.sends_until(to, "REFUSED").await?, code)
    }

    /// Any verb about one end that gives nothing.
    pub(in super::super) async fn tell(&self, verb: &str, end: End) -> Done {
        self.ask(verb, end.json()).await?;
        Ok(())
    }

    pub(in super::super) async fn close_with(&self, end: End, code: u16, text: &str) -> Done {
        let mut arguments = end.json();
        arguments["code"] = code.into();
        arguments["text"] = text.into();
        self.ask("close_with", arguments).await?;
        Ok(())
    }

    pub(in super::super) async fn clone_of(&self, end: End) -> Result<End, Trouble> {
        end_of(&self.ask("clone", end.json()).await?, end.kind)
    }

    // ---- streams and descriptors

    /// The two ends of a stream.
    pub(in super::super) async fn stream(&self) -> Result<(End, End), Trouble> {
        let reply = self.ask("stream", json!({})).await?;
        let other = End { kind: "stream", number: reply.number("other")? };
        Ok((end_of(&reply, "stream")?, other))
    }

    pub(in super::super) fn begin_write(&self, to: End, payload: &str) -> Pending {
        let mut arguments = to.json();
        arguments["payload"] = payload.into();
        self.begin("write", arguments)
    }

    pub(in super::super) async fn write(&self, to: End, payload: &str) -> Done {
        self.begin_write(to, payload).answer().await?;
        Ok(())
    }

    async fn read_some(&self, from: End) -> Result<Option<String>, Trouble> {
        let mut arguments = from.json();
        arguments["max"] = 65_536.into();
        let reply = self.ask("read", arguments).await?;
        if reply.flag("end") {
            return Ok(None);
        }
        match reply.text("payload")? {
            "" => failed(format!("read gives {reply}: neither bytes nor the end")),
            payload => Ok(Some(payload.to_owned())),
        }
    }

    /// Reads so many bytes, which must be there before the end.
    pub(in super::super) async fn read(&self, from: End, bytes: usize) -> Result<String, Trouble> {
        let mut all = String::new();
        while all.len() < 2 * bytes {
            match self.read_some(from).await? {
                Some(payload) => all.push_str(&payload),
                None => return failed(format!("the stream ends after {} of {bytes} bytes", all.len() / 2)),
            }
        }
        Ok(all)
    }

    /// Reads everything up to the end, which must have this code.
    pub(in super::super) async fn read_cut(&self, from: End, code: u16) -> Result<String, Trouble> {
        let mut all = String::new();
        loop {
            let mut arguments = from.json();
            arguments["max"] = 65_536.into();
            match self.ask("read", arguments).await {
                Ok(reply) if reply.flag("end") => {
                    return failed(format!(
                        "the stream ends cleanly after {} bytes, where code {code} is due",
                        all.len() / 2
                    ));
                }
                Ok(reply) => all.push_str(reply.text("payload")?),
                failure => {
                    has_code(&fails(failure, &["ENDED_WITH"])?, code)?;
                    return Ok(all);
                }
            }
        }
    }

    /// Reads everything up to the clean end.
    pub(in super::super) async fn read_all(&self, from: End) -> Result<String, Trouble> {
        let mut all = String::new();
        while let Some(payload) = self.read_some(from).await? {
            all.push_str(&payload);
        }
        Ok(all)
    }
}

/// A handle that a reply or a value names under its kind.
pub(in super::super) fn end_of(json: &Json, kind: &'static str) -> Result<End, Trouble> {
    match json.field(kind).as_u64() {
        Some(number) => Ok(End { kind, number }),
        None => failed(format!("{json} is no {kind}")),
    }
}

/// An answer that must be `err` with one of these names; gives `err`.
pub(in super::super) fn fails(answer: Answer, names: &[&str]) -> Result<Json, Trouble> {
    use super::super::peer::Failure;
    match answer {
        Err(Failure::Refused { name, whole, .. }) if names.contains(&name.as_str()) => Ok(whole),
        Err(failure) => match Trouble::from(failure) {
            Trouble::Failed(why) => failed(format!("{why}, and not {}", names.join(" or "))),
            skipped => Err(skipped),
        },
        Ok(reply) => failed(format!("{reply} where {} is due", names.join(" or "))),
    }
}

/// An `err` that must have this code.
fn has_code(err: &Json, code: u16) -> Done {
    if err.number("code")? == u64::from(code) {
        return Ok(());
    }
    failed(format!("{err} where code {code} is due"))
}

/// An `err` that must have this code and text.
pub(in super::super) fn says(err: &Json, code: u16, text: &str) -> Done {
    if err.number("code")? == u64::from(code) && err.text("text")? == text {
        return Ok(());
    }
    failed(format!("{err} where code {code} and text \"{text}\" are due"))
}
