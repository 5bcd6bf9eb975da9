//! A played peer sees frame by frame how a testee drains: CANCEL with GOING_AWAY and what was taken for each named channel that it
//! receives from, new ones refused, then the end of what is at work, and only then GOODBYE.

use super::codes::{GOING_AWAY, NOT_DELIVERED};
use super::live::{Place, Side};
use super::modes::Role;
use super::rogue::{Rogue, beginning, first_id};
use super::steps::{Trouble, failed};
use super::wire;
use crate::json::{Fields, Json, json};

/// So long may what is at work take, in milliseconds.
const LONG: u64 = 60_000;
/// A value that is one end: the first of its message's table.
const ONE_END: &str = "d40100";

/// The channels and ends of the case, by their ids of the peer's half.
struct Ids {
    /// It brings two requests, of which one is taken.
    busy: u64,
    /// Its message is not taken.
    idle: u64,
    /// The reply of the request that is taken, and that of the other.
    taken: u64,
    untaken: u64,
    /// Opened when the testee drains.
    late: u64,
}

impl Ids {
    fn of(role: Role) -> Self {
        let id = |place: u64| first_id(role) + 2 * place;
        Self { busy: id(0), idle: id(1), taken: id(2), untaken: id(3), late: id(4) }
    }

    fn requests(&self) -> Vec<Json> {
        let open = |id, name| json!({"t": "OPEN", "id": id, "capacity": 16, "name": name});
        let request = |reply| {
            let end = json!({"kind": 1, "id": reply, "capacity": 4});
            let id = self.busy;
            json!({"t": "MESSAGE", "id": id, "flags": 2, "codec": 1, "payload": ONE_END, "attachments": [end]})
        };
        let nothing = json!({"t": "MESSAGE", "id": self.idle, "codec": 1, "payload": "2a"});
        vec![
            open(self.busy, "busy"),
            open(self.idle, "idle"),
            request(self.taken),
            request(self.untaken),
            nothing,
        ]
    }
}

fn cancel(id: u64) -> Json {
    json!({"t": "CANCEL", "id": id, "scope": 1, "code": GOING_AWAY})
}

/// What CREDIT and CANCEL of a channel have said to be taken must come to this.
fn has_taken(frames: &[Json], id: u64, due: u64) -> Result<(), Trouble> {
    let mut taken = 0;
    for frame in frames.iter().filter(|frame| frame.field("id") == &Json::from(id)) {
        if matches!(frame.text("t")?, "CREDIT" | "CANCEL") {
            taken += frame.number("taken")?;
        }
    }
    if taken == due {
        return Ok(());
    }
    failed(format!("the testee says that {taken} messages of channel {id} were taken, and {due} were"))
}

async fn send(rogue: &mut Rogue, frames: &[Json]) -> Result<(), Trouble> {
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend(wire::encode(frame)?);
    }
    rogue.send(&bytes).await
}

pub(super) async fn run(role: Role, testee: &Side<'_>, carrier: &str, place: &Place) -> Result<(), Trouble> {
    let ids = Ids::of(role);
    let (mut rogue, mut session) = Rogue::connect(role, testee, carrier, place, &json!({})).await?;
    rogue.send(&beginning(&json!({}))?).await?;
    send(&mut rogue, &ids.requests()).await?;
    testee.set_session(session.answer().await?.number("session")?);
    let busy = testee.incoming("busy").await?;
    let idle = testee.incoming("idle").await?;
    // It is accepted, by its first use.
    testee.clone_of(idle).await?;
    let reply = testee.recv_end(busy, "sender").await?;

    let mut draining = testee.begin_drain(LONG).await?;
    let not_delivered = json!({"t": "CLOSE", "id": ids.untaken, "code": NOT_DELIVERED});
    let seen = rogue.sees(vec![cancel(ids.busy), cancel(ids.idle), not_delivered]).await?;
    has_taken(&seen, ids.busy, 1)?;
    has_taken(&seen, ids.idle, 0)?;

    let close = |id| json!({"t": "CLOSE", "id": id, "scope": 0, "code": 0});
    let late = json!({"t": "OPEN", "id": ids.late, "capacity": 16, "name": "late"});
    send(&mut rogue, &[close(ids.busy), close(ids.idle), late]).await?;
    rogue.sees(vec![cancel(ids.late)]).await?;
    send(&mut rogue, &[close(ids.late)]).await?;

    testee.send(reply, 7).await?;
    rogue.sees(vec![json!({"t": "MESSAGE", "id": ids.taken, "payload": "07"})]).await?;
    testee.tell("drop", reply).await?;
    rogue.sees(vec![json!({"t": "CLOSE", "id": ids.taken, "scope": 0, "code": 0})]).await?;
    let goodbye = json!({"t": "GOODBYE", "id": 0, "code": 0});
    rogue.sees(vec![goodbye.clone()]).await?;
    send(&mut rogue, &[goodbye]).await?;
    draining.answer().await?;
    Ok(())
}
