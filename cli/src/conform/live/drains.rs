//! Sessions that drain: no new requests, what is at work finishes, and then the session is left in good order.

use super::super::codes::{GOING_AWAY, NOT_DELIVERED};
use super::super::peer::Pending;
use super::super::steps::{Trouble, failed};
use super::sessions::is_over;
use super::{Done, End, Live, Side, cases};
use crate::json::json;

cases! { CASES:
    "li.drain.001" 0 ["CH-14", "SE-15"] idle "a side that drains with nothing at work: senders of its named channels see GOING_AWAY, and the session closes" => Over;
    "li.drain.002" 1 ["CH-14", "AT-11", "SE-15"] at_work "a side that drains: what it has taken is answered, what it has not is not delivered, and then it leaves" => Over;
    "li.drain.003" 1 ["CH-08"] new_channels "a side that drains refuses new channels with GOING_AWAY while others finish" => Over;
    "li.drain.004" 1 ["SE-15"] own_requests "a side that drains waits for the answers to requests of its own" => Over;
    "li.drain.005" 1 ["SE-18"] deadline "what is unfinished at the deadline of a drain was closed with the session" => Over;
    "li.drain.006" 1 ["SE-15"] both "both sides drain at the same time, each with something at work" => Over;
}

/// So long may what is at work take, where the case is not about that: in milliseconds.
const LONG: u64 = 60_000;

/// The side has left; what its drain says, and the other side's session.
async fn is_drained(live: &Live<'_>, mut draining: Pending) -> Done {
    draining.answer().await?;
    is_over(&live.one, "closed").await
}

/// A request of `one`'s that `two` has taken: the receiver of its answer, and the sender that `two` has.
async fn request(live: &Live<'_>, jobs: End, inbox: End) -> Result<(End, End), Trouble> {
    let (reply, replies) = live.one.pipe(4).await?;
    live.one.send(jobs, reply.json()).await?;
    Ok((replies, live.two.recv_end(inbox, "sender").await?))
}

/// One side sends its answer and ends the channel, the other receives both.
async fn is_answered(there: &Side<'_>, reply: End, here: &Side<'_>, answers: End) -> Done {
    there.send(reply, 42).await?;
    there.tell("drop", reply).await?;
    here.expect(answers, 42).await?;
    here.expect_end(answers).await
}

async fn idle(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send(sender, 1).await?;
    live.two.expect(receiver, 1).await?;
    let draining = live.two.begin_drain(LONG).await?;
    live.one.refused_with(sender, GOING_AWAY).await?;
    is_drained(live, draining).await
}

async fn at_work(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (answers, reply) = request(live, jobs, inbox).await?;
    let (untaken, none) = live.one.pipe(1).await?;
    live.one.send(jobs, untaken.json()).await?;
    live.settle().await?;
    let mut draining = live.two.begin_drain(LONG).await?;
    live.one.ask("going", json!({"session": live.one.session()})).await?;
    live.one.refused_with(jobs, GOING_AWAY).await?;
    live.one.ended_with(none, NOT_DELIVERED).await?;
    live.two.send(reply, 1).await?;
    live.one.expect(answers, 1).await?;
    if let Some(answer) = draining.try_answer() {
        return failed(format!("a drain does not wait for what is at work: {answer:?}"));
    }
    is_answered(&live.two, reply, &live.one, answers).await?;
    is_drained(live, draining).await
}

async fn new_channels(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (answers, reply) = request(live, jobs, inbox).await?;
    let draining = live.two.begin_drain(LONG).await?;
    live.one.refused_with(jobs, GOING_AWAY).await?;
    let late = live.one.open("late", 4).await?;
    live.one.refused_with(late, GOING_AWAY).await?;
    is_answered(&live.two, reply, &live.one, answers).await?;
    is_drained(live, draining).await
}

async fn own_requests(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel_back(4).await?;
    let (reply, answers) = live.two.pipe(4).await?;
    live.two.send(jobs, reply.json()).await?;
    live.two.tell("drop", jobs).await?;
    let reply = live.one.recv_end(inbox, "sender").await?;
    let draining = live.two.begin_drain(LONG).await?;
    is_answered(&live.one, reply, &live.two, answers).await?;
    is_drained(live, draining).await
}

async fn deadline(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (answers, reply) = request(live, jobs, inbox).await?;
    live.two.send(reply, 1).await?;
    let draining = live.two.begin_drain(1).await?;
    live.one.expect(answers, 1).await?;
    live.one.recv_fails(answers, "SESSION_CLOSED").await?;
    live.two.send_fails(reply, 2, "SESSION_CLOSED").await?;
    is_drained(live, draining).await
}

async fn both(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (answers, reply) = request(live, jobs, inbox).await?;
    live.one.tell("drop", jobs).await?;
    let draining = [live.one.begin_drain(LONG).await?, live.two.begin_drain(LONG).await?];
    is_answered(&live.two, reply, &live.one, answers).await?;
    for mut draining in draining {
        draining.answer().await?;
    }
    Ok(())
}
