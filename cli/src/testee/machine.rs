//! Machines: one side of a session each, without sockets or clocks. The requests are put to libchan-proto's [`Machine`]; what
//! a driver has to do besides, this does as the driver of libchan does.

use std::collections::HashMap;
use std::time::Duration;

use libchan_proto::audit::flat;
use libchan_proto::{
    Attachment, Body, Cancel, Close, Event, Flaw, Inbox, Key, Kind, Limits, Machine, Output, Reason, Role,
    Scope, SessionError,
};

use super::frames::{hello_from_json, limits_to_json, over, pairs};
use super::{Fault, Reply, ops};
use crate::json::{Fields, Json, hex, json};

/// All machines, by the number that names them.
#[derive(Default)]
pub(super) struct Machines(HashMap<u64, Side>);

impl Machines {
    pub(super) fn answer(&mut self, verb: &str, request: &Json) -> Reply {
        let m = request.number("m")?;
        if verb == "machine.new" {
            let mut side = Side::new(request)?;
            let reply = side.outcome(None);
            self.0.insert(m, side);
            return Ok(reply);
        }
        let side = self.0.get_mut(&m).ok_or_else(|| Fault::new("NO_SUCH_MACHINE", m))?;
        let gives = match verb {
            "machine.recv" => side.receive(&request.bytes("hex")?),
            "machine.eof" => side.end(),
            "machine.tick" => side.tick(Duration::from_millis(request.number("now")?)),
            "machine.app" => Some(ops::run(side, request)?),
            "machine.drop" => {
                self.0.remove(&m);
                return Ok(json!({}));
            }
            _ => return Err(Fault::new("UNKNOWN_VERB", verb)),
        };
        Ok(side.outcome(gives))
    }
}

/// A machine and what its driver remembers.
pub(super) struct Side {
    pub(super) machine: Machine,
    /// Bytes that are not yet a whole frame.
    unread: Vec<u8>,
    /// What each id names, or named last.
    pub(super) ends: HashMap<u32, End>,
    /// The attachments of the last message taken that nobody has claimed yet.
    pub(super) unclaimed: Vec<(u32, Attachment)>,
    /// That message stood for one: nobody sees what it carries.
    pub(super) flawed: bool,
    events: Vec<Json>,
    pub(super) over: Option<SessionError>,
    pub(super) said_goodbye: bool,
}

/// A channel end or stream under its id.
pub(super) struct End {
    pub(super) key: Key,
    pub(super) state: State,
}

pub(super) enum State {
    /// The cancel outlives the entry, which goes when it is answered.
    Sending {
        cancel: Option<Cancel>,
        closed: bool,
    },
    Receiving {
        inbox: Option<Box<Inbox>>,
        held: bool,
        /// So many receives wait.
        receives: u32,
        close: Option<Close>,
        ended: bool,
    },
    Stream,
}

impl State {
    /// `held`: an application has it, so that CLOSE may be answered.
    pub(super) fn receiving(held: bool) -> Self {
        Self::Receiving { inbox: None, held, receives: 0, close: None, ended: false }
    }

    pub(super) fn sending() -> Self {
        Self::Sending { cancel: None, closed: false }
    }
}

impl Side {
    fn new(request: &Json) -> Result<Self, Fault> {
        let role = match request.text("role")? {
            "dialer" => Role::Dialer,
            "acceptor" => Role::Acceptor,
            other => return Err(format!("`role` is dialer or acceptor, not \"{other}\"").into()),
        };
        let local = request.field("local");
        // As on a link that passes no descriptors, unless the hello says otherwise.
        let mut limits = Limits { max_descriptors: 0, ..Limits::default() };
        let numbers: [(&str, &mut u32); 3] = [
            ("max_window", &mut limits.max_window),
            ("max_control", &mut limits.max_control_bytes),
            ("max_pings", &mut limits.max_pings),
        ];
        for (name, place) in numbers {
            if !local.field(name).is_null() {
                *place = local.small(name)?;
            }
        }
        let hello = hello_from_json(request.field("hello"), limits, &[1, 2, 3, 0])?;
        Ok(Self {
            machine: Machine::new(role, hello, Duration::ZERO),
            unread: Vec::new(),
            ends: HashMap::new(),
            unclaimed: Vec::new(),
            flawed: false,
            events: Vec::new(),
            over: None,
            said_goodbye: false,
        })
    }

    fn receive(&mut self, bytes: &[u8]) -> Option<Json> {
        self.unread.extend_from_slice(bytes);
        match self.machine.handle_input(&self.unread) {
            Ok(taken) => drop(self.unread.drain(..taken)),
            Err(why) => self.set_over(why),
        }
        None
    }

    fn end(&mut self) -> Option<Json> {
        if let Err(why) = self.machine.handle_eof() {
            self.set_over(why);
        }
        None
    }

    fn tick(&mut self, now: Duration) -> Option<Json> {
        if let Err(why) = self.machine.handle_tick(now) {
            self.set_over(why);
        }
        None
    }

    fn set_over(&mut self, why: SessionError) {
        self.over.get_or_insert(why);
    }

    /// What came of a request: output, events, how the session is over.
    fn outcome(&mut self, gives: Option<Json>) -> Json {
        let mut out = Vec::new();
        loop {
            let closed_before = self.look();
            let mut output = Output::default();
            self.machine.take_output(&mut output);
            out.extend(flat(&output));
            if output.is_empty() && !closed_before && !self.machine.has_events() {
                break;
            }
        }
        self.notice_end();
        let mut reply = json!({
            "out": hex(&out),
            "events": std::mem::take(&mut self.events),
            "over": self.over.as_ref().map(over),
        });
        if let Some(gives) = gives {
            reply["gives"] = gives;
        }
        reply
    }

    /// The link is dropped once both sides have said goodbye, or this one has before the peer's hello.
    fn notice_end(&mut self) {
        if self.over.is_none() && self.machine.is_over() {
            self.over = Some(SessionError::Closed);
            self.look();
        }
    }

    /// Events, and what a driver answers by itself. True: something was answered.
    pub(super) fn look(&mut self) -> bool {
        while let Some(event) = self.machine.poll_event() {
            self.on_event(event);
        }
        let waiting: Vec<u32> = self.ends.keys().copied().collect();
        let mut answered = false;
        for id in waiting {
            answered |= self.answer_close(id);
        }
        answered
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Established => {
                let Some(established) = self.machine.established() else { return };
                self.events.push(json!({
                    "event": "established",
                    "limits": limits_to_json(&established.limits),
                    "codecs": established.codecs,
                    "metadata": pairs(&established.peer.metadata),
                }));
            }
            Event::Opened(key) => {
                let (Some(id), Some(opening)) = (self.machine.wire_id(key), self.machine.opening(key)) else {
                    return;
                };
                self.events.push(json!({
                    "event": "opened",
                    "id": id,
                    "name": opening.name,
                    "capacity": opening.capacity,
                    "metadata": pairs(&opening.metadata),
                }));
                self.ends.insert(id, End { key, state: State::receiving(false) });
            }
            Event::PeerGoodbye(Reason { code, text }) => {
                self.events.push(json!({"event": "goodbye", "code": code, "text": text}));
            }
            // CH-15: whoever is told that nobody receives any more closes.
            Event::Cancelled(key) => {
                let status = self.machine.send_status(key);
                if let Some(end) = self.ends.values_mut().find(|end| end.key == key)
                    && let State::Sending { cancel, .. } = &mut end.state
                {
                    *cancel = cancel.take().or(status.cancelled);
                }
                self.machine.close(key, Scope::End, None);
            }
            _ => {}
        }
    }

    /// CH-16: CLOSE is answered when nothing waits any more. True: it was.
    fn answer_close(&mut self, id: u32) -> bool {
        let Some(End { key, state: State::Receiving { inbox, held, close, ended, .. } }) =
            self.ends.get_mut(&id)
        else {
            return false;
        };
        let status = self.machine.recv_status(*key);
        if close.is_none() && !*ended {
            *close = status.closed;
        }
        let empty = status.waiting == 0 && inbox.as_ref().is_none_or(|inbox| inbox.is_empty());
        if *ended || !*held || close.is_none() || !empty {
            return false;
        }
        *ended = true;
        self.machine.cancel(*key, Scope::End, Reason::none(), inbox.take());
        true
    }

    pub(super) fn id(&self, key: Key) -> Option<u32> {
        self.machine.wire_id(key)
    }

    /// The next message of a receiving end.
    pub(super) fn take(&mut self, id: u32) -> Reply {
        let lost = self.over.as_ref().is_some_and(|why| *why != SessionError::Closed);
        let no_such = || Fault::new("NO_SUCH_ID", format!("no receiving end {id}"));
        let end = self.ends.get_mut(&id).ok_or_else(no_such)?;
        let State::Receiving { inbox, close, receives, .. } = &mut end.state else { return Err(no_such()) };
        if inbox.as_ref().is_none_or(|inbox| inbox.is_empty()) {
            *inbox = self.machine.take_inbox(end.key, inbox.take());
        }
        let Some(message) = inbox.as_mut().and_then(|inbox| inbox.pop()) else {
            return Ok(match close {
                Some(Close { reason: Some(reason), .. }) if lost && reason.code == 35 => {
                    json!({"lost": true})
                }
                Some(Close { scope, reason }) => {
                    let Reason { code, text } = reason.clone().unwrap_or_default();
                    json!({"close": {"scope": *scope as u8, "code": code, "text": text}})
                }
                None => json!({"empty": true}),
            });
        };
        let payload = match message.body {
            Body::Slice(bytes) => bytes.to_vec(),
            Body::Shared(bytes) => bytes.to_vec(),
        };
        let (codec, flaw, charge) = (message.codec, message.flaw, message.charge);
        let attachments = message.attachments.to_vec();
        let headers = message.headers;
        self.flawed = flaw != Flaw::None;
        let (key, awaited) = (end.key, *receives > 0);
        self.machine.taken(key, 1, charge);
        // The level has not changed: a receive waits for the next message.
        self.machine.set_awaited(key, awaited);
        let attachments: Vec<Json> = attachments.into_iter().map(|it| self.arrived(it)).collect();
        let text = || String::from_utf8_lossy(&payload).into_owned();
        Ok(match flaw {
            Flaw::NotEncoded => json!({"flaw": "not_encoded", "text": text()}),
            Flaw::NotForwarded => json!({"flaw": "not_forwarded", "text": text()}),
            Flaw::None => {
                let mut json = json!({"codec": codec, "payload": hex(&payload), "attachments": attachments});
                if let Some(headers) = headers {
                    json["headers"] = hex(&headers).into();
                }
                json!({ "message": json })
            }
        })
    }

    /// Notes an attachment of a message that was taken.
    fn arrived(&mut self, attachment: Attachment) -> Json {
        let Attachment { kind, key, capacity, on_demand } = attachment;
        let id = if kind == Kind::Descriptor { 0 } else { self.id(key).unwrap_or(0) };
        let state = match kind {
            Kind::Sender => Some(State::sending()),
            Kind::Receiver => Some(State::receiving(false)),
            Kind::Stream => Some(State::Stream),
            Kind::Descriptor | Kind::SenderHome => None,
        };
        if let Some(state) = state {
            self.ends.insert(id, End { key, state });
        }
        self.unclaimed.push((id, attachment));
        let wanted = match kind {
            Kind::Sender => self.machine.send_status(key).demand,
            _ => u32::from(on_demand),
        };
        json!({"kind": kind as u8, "id": id, "capacity": capacity, "wanted": wanted})
    }
}
