//! How sessions end: left in good order, or lost.

use super::super::steps::failed;
use super::{Done, Live, Side, cases, fails};
use crate::json::{Fields, Json, json};

cases! { CASES:
    "li.leave.001" 0 ["SE-15", "SE-18"] with_messages "a session that is left: what was sent arrives, then the end of each channel" => Over;
    "li.leave.002" 0 ["SE-18"] open_channel "a session that is left with a channel open: what was sent arrives, then the session was closed" => Over;
    "li.leave.003" 0 ["SE-15"] both_leave "both sides leave at the same time" => Over;
    "li.leave.004" 0 ["SE-18"] later_sends "what a session that is left has cut says so: sends and receives, on both sides" => Over;
    "li.leave.005" 1 ["SE-18"] nested_left "nested channels are cut like named ones, and what had ended stays clean" => Over;
    "li.lost.001" 0 ["MO-03", "MO-03"] lost "a link that is lost: what had arrived, then DISCONNECTED, never the end" => Over;
    "li.lost.002" 0 ["MO-03", "MO-03"] lost_send "a link that is lost: sends fail with DISCONNECTED, those that wait and later ones" => Over;
    "li.lost.003" 1 ["MO-03"] lost_nested "a link that is lost: nested channels are disconnected too" => Over;
}

/// The session is over for this side, in this way.
pub(super) async fn is_over(side: &Side<'_>, why: &str) -> Done {
    let reply = side.ask("incoming", json!({"session": side.session()})).await?;
    if reply.field("over").text("why")? == why {
        return side.drop_session().await;
    }
    failed(format!("incoming gives {reply}, and not that the session is {why}"))
}

async fn leave(side: &Side<'_>) -> Done {
    if let Some(mut leaving) = side.begin_leave() {
        leaving.answer().await?;
    }
    Ok(())
}

async fn with_messages(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(16).await?;
    for n in 0..10 {
        live.one.send(sender, n).await?;
    }
    live.one.tell("drop", sender).await?;
    leave(&live.one).await?;
    for n in 0..10 {
        live.two.expect(receiver, n).await?;
    }
    live.two.expect_end(receiver).await?;
    is_over(&live.two, "closed").await
}

async fn open_channel(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(16).await?;
    live.one.send(sender, 1).await?;
    leave(&live.one).await?;
    live.two.expect(receiver, 1).await?;
    live.two.recv_fails(receiver, "SESSION_CLOSED").await?;
    live.two.recv_fails(receiver, "SESSION_CLOSED").await?;
    is_over(&live.two, "closed").await
}

async fn both_leave(live: &Live<'_>) -> Done {
    let (sender, _receiver) = live.channel(16).await?;
    live.one.send(sender, 1).await?;
    let leaving = [live.one.begin_leave(), live.two.begin_leave()];
    for mut leaving in leaving.into_iter().flatten() {
        leaving.answer().await?;
    }
    Ok(())
}

async fn later_sends(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(16).await?;
    let (back, at_one) = live.channel_back(16).await?;
    leave(&live.one).await?;
    live.two.recv_fails(receiver, "SESSION_CLOSED").await?;
    is_over(&live.two, "closed").await?;
    live.one.send_fails(sender, 1, "SESSION_CLOSED").await?;
    // The receiver's side has left, and said so before its goodbye: either is the reason.
    fails(live.two.begin_send(back, 1).answer().await, &["SESSION_CLOSED", "CANCELLED"])?;
    // Its sender did not end it: a cut must not look like an end that it chose.
    live.one.recv_fails(at_one, "SESSION_CLOSED").await?;
    Ok(())
}

async fn nested_left(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(2).await?;
    let (ended, ends) = live.one.pipe(1).await?;
    let (cut, cuts) = live.one.pipe(1).await?;
    live.one.send(jobs, json!([ended.json(), cut.json()])).await?;
    let value = live.two.recv(inbox).await?;
    let at = |place: usize| super::end_of(value.get(place).unwrap_or(&Json::Null), "sender");
    let (ended, cut) = (at(0)?, at(1)?);
    live.two.send(ended, 1).await?;
    live.two.tell("drop", ended).await?;
    live.two.send(cut, 2).await?;
    leave(&live.two).await?;
    live.one.expect(ends, 1).await?;
    live.one.expect_end(ends).await?;
    live.one.expect(cuts, 2).await?;
    live.one.recv_fails(cuts, "SESSION_CLOSED").await?;
    is_over(&live.one, "closed").await
}

async fn lost(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(16).await?;
    for n in 0..3 {
        live.one.send(sender, n).await?;
    }
    live.settle().await?;
    live.one.abort().await?;
    for n in 0..3 {
        live.two.expect(receiver, n).await?;
    }
    live.two.recv_fails(receiver, "DISCONNECTED").await?;
    live.two.recv_fails(receiver, "DISCONNECTED").await?;
    is_over(&live.two, "lost").await
}

async fn lost_send(live: &Live<'_>) -> Done {
    let (sender, _receiver) = live.channel(1).await?;
    live.one.send(sender, 1).await?;
    let mut waits = live.one.begin_send(sender, 2);
    live.still_waits(&mut waits, "a send of a full channel").await?;
    live.two.abort().await?;
    fails(waits.answer().await, &["DISCONNECTED"])?;
    live.one.send_fails(sender, 3, "DISCONNECTED").await?;
    is_over(&live.one, "lost").await
}

async fn lost_nested(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (reply, replies) = live.one.pipe(4).await?;
    let (input, output) = live.one.pipe(4).await?;
    live.one.send(jobs, json!([reply.json(), output.json()])).await?;
    live.two.recv(inbox).await?;
    live.two.abort().await?;
    live.one.recv_fails(replies, "DISCONNECTED").await?;
    live.one.sends_until(input, "DISCONNECTED").await?;
    is_over(&live.one, "lost").await
}
