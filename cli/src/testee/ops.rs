//! What an application does with a machine: the operations of `machine.app`.

use libchan_proto::{
    Attach, Blocked, Flaw, Kind, Metadata, OpenError, Outgoing, Payload, Reason, Scope, StreamError,
    StreamRead, code,
};

use super::frames::metadata_from_json;
use super::machine::{End, Side, State};
use super::{Fault, Reply};
use crate::json::{Fields, Json, hex, json};

pub(super) fn run(side: &mut Side, request: &Json) -> Reply {
    let op = request.text("op")?;
    if op != "claim" {
        side.close_unclaimed();
        // A hold may have ended by that, and a closed channel with it.
        side.look();
    }
    let id = request.small("id")?;
    match op {
        "open" => side.open(request.text("name")?, request.small("capacity")?, &metadata_from_json(request)?),
        "accept" => side.accept(id),
        "refuse" => side.cancel(id, Scope::Channel, reason(request)?),
        "send" => side.send(id, request),
        "send_flaw" => side.send_flaw(id, request),
        "status" => side.status(id),
        "waiting" => side.waiting(id, request.small("receives")?),
        "take" => side.take(id),
        "claim" => side.claim(request.list("ids")?),
        "close" => side.close(id, scope(request)?, reason(request)?),
        "cancel" => side.cancel(id, scope(request)?, reason(request)?),
        "write" => side.write(id, &request.bytes("payload")?),
        "end" => side.end_stream(id, reason(request)?),
        "read" => side.read(id, request.small("max")?),
        "stop" => side.stop(id, reason(request)?),
        "goodbye" => {
            side.machine.goodbye(reason(request)?);
            side.said_goodbye = true;
            Ok(json!({}))
        }
        other => Err(Fault::not_supported(format!("op {other}"))),
    }
}

fn reason(request: &Json) -> Result<Reason, String> {
    Ok(Reason { code: request.small("code")?, text: request.text("text")?.to_owned() })
}

fn scope(request: &Json) -> Result<Scope, String> {
    match request.number("scope")? {
        0 => Ok(Scope::End),
        1 => Ok(Scope::Channel),
        other => Err(format!("`scope` is 0 or 1, not {other}")),
    }
}

fn no_such(id: u32) -> Fault {
    Fault::new("NO_SUCH_ID", id)
}

fn open_error(why: OpenError) -> Json {
    let name = match why {
        OpenError::Memory => "MEMORY",
        OpenError::NameTooLong => "NAME_TOO_LONG",
        OpenError::TooManyChannels => "TOO_MANY_CHANNELS",
        _ => "CLOSED",
    };
    json!({"err": name})
}

impl Side {
    /// What nobody has claimed of the last message is closed.
    fn close_unclaimed(&mut self) {
        let why = Reason::of(if self.flawed { code::NOT_DELIVERED } else { code::UNCLAIMED });
        for (_, attachment) in std::mem::take(&mut self.unclaimed) {
            if attachment.kind == Kind::Descriptor {
                self.machine.descriptors_released(1);
            } else {
                self.machine.reject(attachment, &why);
            }
        }
    }

    fn claim(&mut self, ids: &[Json]) -> Reply {
        let ids: Vec<u32> = ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect();
        let (claimed, rest) = self.unclaimed.drain(..).partition(|(id, _)| ids.contains(id));
        self.unclaimed = rest;
        let claimed: Vec<_> = claimed;
        for (id, attachment) in claimed {
            match attachment.kind {
                Kind::Descriptor => drop(self.machine.descriptors_released(1)),
                Kind::SenderHome => self.machine.release_hold(attachment.key),
                _ => {}
            }
            if let Some(End { state: State::Receiving { held, .. }, .. }) = self.ends.get_mut(&id) {
                *held = true;
            }
        }
        Ok(json!({}))
    }

    fn open(&mut self, name: &str, capacity: u32, metadata: &Metadata) -> Reply {
        Ok(match self.machine.open(name, capacity, metadata) {
            Err(why) => open_error(why),
            Ok(key) => {
                let id = self.id(key).unwrap_or(0);
                self.ends.insert(id, End { key, state: State::sending() });
                json!({"id": id})
            }
        })
    }

    fn accept(&mut self, id: u32) -> Reply {
        let end = self.ends.get_mut(&id).ok_or_else(|| no_such(id))?;
        self.machine.accept(end.key);
        if let State::Receiving { held, .. } = &mut end.state {
            *held = true;
        }
        Ok(json!({}))
    }

    fn send(&mut self, id: u32, request: &Json) -> Reply {
        let (payload, headers) = (request.bytes("payload")?, request.bytes("headers")?);
        let codec = request.small("codec")?;
        let asked = request.list("attachments")?;
        let limits = self.machine.limits();
        if payload.len() > limits.max_message as usize {
            return Ok(json!({"err": "MESSAGE_TOO_LARGE"}));
        }
        if asked.len() > limits.max_attachments as usize {
            return Ok(json!({"err": "TOO_MANY_ATTACHMENTS"}));
        }
        if let Some(refused) = self.refuses(id)? {
            return Ok(refused);
        }
        let mut attaches = Vec::new();
        for attachment in asked {
            match self.allocate(attachment)? {
                Ok(attach) => attaches.push(attach),
                Err(why) => {
                    self.give_back(&attaches);
                    return Ok(open_error(why));
                }
            }
        }
        let flaw = Flaw::None;
        let payload = Payload::Copy(&payload);
        self.put(id, Outgoing { codec, flaw, attachments: &attaches, headers: &headers, payload })
    }

    fn send_flaw(&mut self, id: u32, request: &Json) -> Reply {
        let flaw = match request.text("flaw")? {
            "not_encoded" => Flaw::NotEncoded,
            "not_forwarded" => Flaw::NotForwarded,
            other => return Err(format!("there is no flaw \"{other}\"").into()),
        };
        if let Some(refused) = self.refuses(id)? {
            return Ok(refused);
        }
        let codec = self.machine.established().and_then(|it| it.codecs.first().copied()).unwrap_or(0);
        let payload = Payload::Copy(request.text("text")?.as_bytes());
        self.put(id, Outgoing { codec, flaw, attachments: &[], headers: &[], payload })
    }

    /// Why nothing can be sent, before anything is allocated for it.
    fn refuses(&self, id: u32) -> Result<Option<Json>, Fault> {
        let end = self.ends.get(&id).ok_or_else(|| no_such(id))?;
        let State::Sending { cancel, closed } = &end.state else { return Err(no_such(id)) };
        if *closed || self.over.is_some() || self.said_goodbye {
            return Ok(Some(json!({"err": "CLOSED"})));
        }
        if let Some(cancel) = cancel {
            return Ok(Some(json!({"err": "CANCELLED", "cancel": cancel_to_json(cancel)})));
        }
        let status = self.machine.send_status(end.key);
        if status.room == 0 && status.demand == 0 {
            return Ok(Some(json!({"sent": false, "blocked": "messages"})));
        }
        Ok(None)
    }

    fn put(&mut self, id: u32, message: Outgoing<'_>) -> Reply {
        let key = self.ends.get(&id).ok_or_else(|| no_such(id))?.key;
        let attaches = message.attachments.to_vec();
        let ids = attaches.iter().map(|attach| self.note(attach)).collect::<Vec<_>>();
        Ok(match self.machine.try_send(key, message) {
            Ok(()) => json!({"sent": true, "ids": ids}),
            Err(why) => {
                self.give_back(&attaches);
                match why {
                    Blocked::Credit => json!({"sent": false, "blocked": "bytes"}),
                    Blocked::Descriptors => json!({"sent": false, "blocked": "descriptors"}),
                    Blocked::Gone => json!({"err": "CLOSED"}),
                    _ => json!({"sent": false, "blocked": "messages"}),
                }
            }
        })
    }

    fn allocate(&mut self, json: &Json) -> Result<Result<Attach, OpenError>, Fault> {
        let (kind, capacity) = (json.number("kind")?, json.small("capacity")?);
        let made = match kind {
            1 => self.machine.allocate(Kind::Sender, capacity, false, json.small("waiting")?),
            2 => self.machine.allocate(Kind::Receiver, capacity, json.flag("demand"), 0),
            3 => return Ok(self.machine.allocate(Kind::Stream, 0, false, 0).map(Attach::Stream)),
            4 => return Ok(Ok(Attach::Descriptor(0))),
            5 => {
                let id = json.small("id")?;
                let end = self.ends.get(&id).ok_or_else(|| no_such(id))?;
                if !self.machine.pin(end.key) {
                    return Err(no_such(id));
                }
                return Ok(Ok(Attach::SenderHome(end.key)));
            }
            other => return Err(format!("there is no attachment of kind {other}").into()),
        };
        Ok(made.map(Attach::Channel))
    }

    /// Remembers what is about to be announced; says its id.
    fn note(&mut self, attach: &Attach) -> Option<u32> {
        let (key, is_channel) = match *attach {
            Attach::Channel(key) => (key, true),
            Attach::Stream(key) => (key, false),
            Attach::Descriptor(_) | Attach::SenderHome(_) => return None,
        };
        let id = self.id(key)?;
        let state = if !is_channel {
            State::Stream
        } else if self.machine.send_status(key).cancelled.is_none() {
            State::sending()
        } else {
            State::receiving(true)
        };
        self.ends.insert(id, End { key, state });
        Some(id)
    }

    /// The message with these is not sent.
    fn give_back(&mut self, attaches: &[Attach]) {
        for attach in attaches {
            match *attach {
                Attach::Channel(key) => {
                    self.ends.retain(|_, end| end.key != key);
                    self.machine.abandon(key);
                }
                // A stream's entry stays until it is used no more.
                Attach::Stream(key) => {
                    self.ends.retain(|_, end| end.key != key);
                    self.machine.abandon(key);
                    self.machine.stream_finish(key, Reason::none());
                    self.machine.stream_stop(key, Reason::none());
                }
                Attach::SenderHome(key) => self.machine.unpin(key),
                Attach::Descriptor(_) => {}
            }
        }
    }

    fn status(&self, id: u32) -> Reply {
        let end = self.ends.get(&id).ok_or_else(|| no_such(id))?;
        let State::Sending { cancel, closed } = &end.state else { return Err(no_such(id)) };
        let status = self.machine.send_status(end.key);
        let gone = *closed || cancel.is_some();
        Ok(json!({
            "room": if gone { 0 } else { status.room },
            "demand": if gone { 0 } else { status.demand },
            "untaken": status.untaken,
            "bytes": status.byte_credit,
            "cancel": cancel.as_ref().map(cancel_to_json),
        }))
    }

    fn waiting(&mut self, id: u32, level: u32) -> Reply {
        let end = self.ends.get_mut(&id).ok_or_else(|| no_such(id))?;
        let State::Receiving { receives, .. } = &mut end.state else { return Err(no_such(id)) };
        *receives = level;
        self.machine.want(end.key, level);
        self.machine.set_awaited(end.key, level > 0);
        Ok(json!({}))
    }

    fn close(&mut self, id: u32, scope: Scope, reason: Reason) -> Reply {
        let end = self.ends.get_mut(&id).ok_or_else(|| no_such(id))?;
        let State::Sending { closed, .. } = &mut end.state else { return Err(no_such(id)) };
        if !std::mem::replace(closed, true) {
            self.machine.close(end.key, scope, Some(reason).filter(|reason| reason.code != 0));
        }
        Ok(json!({}))
    }

    fn cancel(&mut self, id: u32, scope: Scope, reason: Reason) -> Reply {
        let end = self.ends.get_mut(&id).ok_or_else(|| no_such(id))?;
        let State::Receiving { inbox, ended, .. } = &mut end.state else { return Err(no_such(id)) };
        if !std::mem::replace(ended, true) {
            self.machine.cancel(end.key, scope, reason, inbox.take());
        }
        Ok(json!({}))
    }

    fn stream(&self, id: u32) -> Result<libchan_proto::Key, Fault> {
        match self.ends.get(&id) {
            Some(End { key, state: State::Stream }) => Ok(*key),
            _ => Err(no_such(id)),
        }
    }

    fn write(&mut self, id: u32, payload: &[u8]) -> Reply {
        let key = self.stream(id)?;
        Ok(match self.machine.stream_send(key, payload, false) {
            Ok(taken) => json!({"taken": taken}),
            Err(StreamError::Stopped(Reason { code, text })) => {
                json!({"err": "STOPPED", "code": code, "text": text})
            }
            Err(StreamError::Finished | StreamError::Lost) => json!({"err": "CLOSED"}),
        })
    }

    fn end_stream(&mut self, id: u32, reason: Reason) -> Reply {
        let key = self.stream(id)?;
        self.machine.stream_finish(key, reason);
        Ok(json!({}))
    }

    fn read(&mut self, id: u32, max: usize) -> Reply {
        let key = self.stream(id)?;
        let mut payload = Vec::new();
        let read = self.machine.stream_recv(key, max, &mut |bytes| payload.extend_from_slice(bytes));
        let lost = self.over.as_ref().is_some_and(|why| *why != libchan_proto::SessionError::Closed);
        Ok(match read {
            StreamRead::Data(_) => json!({"payload": hex(&payload)}),
            StreamRead::End => json!({"end": {"code": 0, "text": ""}}),
            StreamRead::Failed(reason) if lost && reason.code == 35 => json!({"lost": true}),
            StreamRead::Failed(Reason { code, text }) => json!({"end": {"code": code, "text": text}}),
            StreamRead::Pending => json!({"empty": true}),
        })
    }

    fn stop(&mut self, id: u32, reason: Reason) -> Reply {
        let key = self.stream(id)?;
        self.machine.stream_stop(key, reason);
        Ok(json!({}))
    }
}

fn cancel_to_json(cancel: &libchan_proto::Cancel) -> Json {
    json!({"scope": cancel.scope as u8, "code": cancel.reason.code, "text": cancel.reason.text})
}
