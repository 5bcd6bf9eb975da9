//! How channels end: closed, cancelled, refused, dropped, unclaimed.

use super::super::codes::NOT_DELIVERED;
use super::super::steps::Trouble;
use super::{Done, End, Live, cases, fails, says};
use crate::json::json;

cases! { CASES:
    "li.end.001" 0 ["CH-20"] dropped_sender "a sender that is dropped: what was sent, then the clean end";
    "li.end.002" 0 ["CH-20", "FR-29"] closed "a channel that is closed: what was sent, then the clean end";
    "li.end.003" 0 ["CH-20", "FR-29"] closed_with "a channel that is closed with an error: what was sent, then that error, each time";
    "li.end.004" 0 ["CH-15", "CH-21"] dropped_receiver "a receiver that is dropped: sends fail";
    "li.end.005" 0 ["CH-15", "CH-21"] cancelled_with "a receiver that closes with an error: sends fail with it";
    "li.end.006" 0 ["CH-21"] waiting_send "a send that waits fails when the receiver leaves";
    "li.end.007" 0 ["CH-08"] refused "a named channel that is refused: sends fail with what was said";
    "li.end.008" 0 ["CH-08"] unanswered "a named channel that is dropped before it was accepted is refused with REFUSED";
    "li.end.009" 0 ["FR-07"] long_text "a text of more than 1,024 bytes arrives cut at a character";
    "li.end.010" 0 ["CH-19"] messages_dropped "what waits at a receiver that leaves is dropped, and the channel is gone at both sides";
    "li.end.011" 1 ["CH-20", "AT-11"] nested_error "a nested sender that closes with an error";
    "li.end.012" 1 ["CH-21"] nested_cancel "a nested receiver that closes with an error";
    "li.end.013" 1 ["AT-11"] untaken "the ends in a message that nobody takes are closed as NOT_DELIVERED";
    "li.end.014" 1 ["AT-11"] dropped_ends "ends that were taken and dropped are closed";
    "li.end.015" 1 ["CH-13"] clones "a channel ends when its last sender is gone, wherever that is";
    "li.end.016" 0 ["CH-13"] closed_here "sends after the channel was closed here fail";
    "li.end.017" 1 ["AT-11"] refused_ends "the ends in messages for a channel that is refused are closed as NOT_DELIVERED";
    "li.end.018" 1 ["FR-29", "CH-20"] closed_for_all "a channel that is closed at a remote sender ends for all senders, also for those here";
    "li.end.019" 1 ["FR-29", "CH-21"] cancelled_for_all "a channel that is closed at a remote receiver ends for its sender, whoever else could receive";
    "li.end.020" 1 ["CH-20", "AT-11"] fault_sticks "one of two senders was in a message that nobody took: what was sent, then its error, however the other ends";
    "li.end.021" 1 ["AT-11", "CH-08"] unanswered_ends "a named channel that is dropped before it was accepted: the ends in its messages are not delivered";
}

async fn dropped_sender(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send(sender, 1).await?;
    live.one.send(sender, 2).await?;
    live.one.tell("drop", sender).await?;
    live.two.expect(receiver, 1).await?;
    live.two.expect(receiver, 2).await?;
    live.two.expect_end(receiver).await?;
    live.two.expect_end(receiver).await
}

async fn closed(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send(sender, 1).await?;
    live.one.tell("close", sender).await?;
    live.two.expect(receiver, 1).await?;
    live.two.expect_end(receiver).await
}

async fn closed_with(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send(sender, 1).await?;
    live.one.close_with(sender, 263, "disk full").await?;
    live.two.expect(receiver, 1).await?;
    for _ in 0..2 {
        says(&live.two.recv_fails(receiver, "ENDED_WITH").await?, 263, "disk full")?;
    }
    Ok(())
}

async fn dropped_receiver(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send(sender, 1).await?;
    live.two.expect(receiver, 1).await?;
    live.two.tell("drop", receiver).await?;
    live.one.sends_until(sender, "CANCELLED").await?;
    live.one.send_fails(sender, 1, "CANCELLED").await?;
    Ok(())
}

async fn cancelled_with(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.send(sender, 1).await?;
    live.two.expect(receiver, 1).await?;
    live.two.close_with(receiver, 300, "enough").await?;
    says(&live.one.sends_until(sender, "REFUSED").await?, 300, "enough")?;
    says(&live.one.send_fails(sender, 1, "REFUSED").await?, 300, "enough")
}

async fn waiting_send(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(1).await?;
    live.one.send(sender, 1).await?;
    let mut waits = live.one.begin_send(sender, 2);
    live.still_waits(&mut waits, "a send of a full channel").await?;
    live.two.close_with(receiver, 257, "").await?;
    says(&fails(waits.answer().await, &["REFUSED"])?, 257, "")
}

async fn refused(live: &Live<'_>) -> Done {
    let sender = live.one.open("door", 4).await?;
    let receiver = live.two.incoming("door").await?;
    let mut arguments = receiver.json();
    arguments["code"] = 403.into();
    arguments["text"] = "not you".into();
    live.two.ask("refuse", arguments).await?;
    says(&live.one.sends_until(sender, "REFUSED").await?, 403, "not you")
}

async fn unanswered(live: &Live<'_>) -> Done {
    let sender = live.one.open("door", 4).await?;
    let receiver = live.two.incoming("door").await?;
    live.two.tell("drop", receiver).await?;
    let err = live.one.sends_until(sender, "REFUSED").await?;
    says(&json!({"code": err["code"], "text": ""}), 32, "")
}

async fn long_text(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(1).await?;
    live.one.close_with(sender, 256, &"ü".repeat(1000)).await?;
    says(&live.two.recv_fails(receiver, "ENDED_WITH").await?, 256, &"ü".repeat(512))
}

async fn messages_dropped(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    for n in 0..4 {
        live.one.send(sender, n).await?;
    }
    live.two.tell("close", receiver).await?;
    live.one.sends_until(sender, "CANCELLED").await?;
    Ok(())
}

async fn nested_error(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (reply, replies) = live.one.pipe(4).await?;
    live.one.send(jobs, reply.json()).await?;
    let reply = live.two.recv_end(inbox, "sender").await?;
    live.two.send(reply, 1).await?;
    live.two.close_with(reply, 500, "broken").await?;
    live.one.expect(replies, 1).await?;
    says(&live.one.recv_fails(replies, "ENDED_WITH").await?, 500, "broken")
}

async fn nested_cancel(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (input, output) = live.one.pipe(4).await?;
    live.one.send(jobs, output.json()).await?;
    let output = live.two.recv_end(inbox, "receiver").await?;
    live.one.send(input, 1).await?;
    live.two.expect(output, 1).await?;
    live.two.close_with(output, 501, "no more").await?;
    says(&live.one.sends_until(input, "REFUSED").await?, 501, "no more")
}

async fn untaken(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (reply, replies) = live.one.pipe(1).await?;
    let (input, output) = live.one.pipe(1).await?;
    live.one.send(jobs, json!([reply.json(), output.json()])).await?;
    live.two.tell("close", inbox).await?;
    live.one.ended_with(replies, NOT_DELIVERED).await?;
    live.one.refused_with(input, NOT_DELIVERED).await
}

async fn dropped_ends(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (reply, replies) = live.one.pipe(1).await?;
    let (input, output) = live.one.pipe(1).await?;
    live.one.send(jobs, reply.json()).await?;
    live.one.send(jobs, output.json()).await?;
    let reply = live.two.recv_end(inbox, "sender").await?;
    live.two.tell("drop", reply).await?;
    let output = live.two.recv_end(inbox, "receiver").await?;
    live.two.tell("drop", output).await?;
    live.one.expect_end(replies).await?;
    live.one.sends_until(input, "CANCELLED").await?;
    Ok(())
}

/// A channel of `one`'s with two senders: its receiver, the sender that `one` keeps and the one that `two` has.
async fn two_senders(live: &Live<'_>) -> Result<(End, End, End), Trouble> {
    let (jobs, inbox) = live.channel(1).await?;
    let (reply, replies) = live.one.pipe(4).await?;
    let kept = live.one.clone_of(reply).await?;
    live.one.send(jobs, reply.json()).await?;
    Ok((replies, kept, live.two.recv_end(inbox, "sender").await?))
}

async fn clones(live: &Live<'_>) -> Done {
    let (replies, kept, reply) = two_senders(live).await?;
    live.two.send(reply, 1).await?;
    live.two.tell("drop", reply).await?;
    live.one.expect(replies, 1).await?;
    let mut waits = live.one.begin_recv(replies);
    live.still_waits(&mut waits, "a receive of a channel that has a sender").await?;
    live.one.tell("drop", kept).await?;
    let reply = waits.answer().await?;
    if reply["end"] == true { Ok(()) } else { super::failed(format!("recv gives {reply}, and not the end")) }
}

async fn closed_here(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    live.one.tell("close", sender).await?;
    live.one.send_fails(sender, 1, "CLOSED").await?;
    live.two.expect_end(receiver).await
}

/// A channel that waits to be accepted with a sender in its message: its receiver, and the receiver of that sender.
async fn at_the_door(live: &Live<'_>) -> Result<(End, End), Trouble> {
    let sender = live.one.open("door", 4).await?;
    let (reply, replies) = live.one.pipe(1).await?;
    live.one.send(sender, reply.json()).await?;
    Ok((live.two.incoming("door").await?, replies))
}

async fn refused_ends(live: &Live<'_>) -> Done {
    let (receiver, replies) = at_the_door(live).await?;
    let mut arguments = receiver.json();
    arguments["code"] = 256.into();
    live.two.ask("refuse", arguments).await?;
    live.one.ended_with(replies, NOT_DELIVERED).await
}

async fn closed_for_all(live: &Live<'_>) -> Done {
    let (replies, kept, reply) = two_senders(live).await?;
    live.two.send(reply, 1).await?;
    live.two.tell("close", reply).await?;
    live.one.expect(replies, 1).await?;
    live.one.expect_end(replies).await?;
    live.one.send_fails(kept, 2, "CLOSED").await?;
    Ok(())
}

async fn cancelled_for_all(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (input, output) = live.one.pipe(4).await?;
    let _kept = live.one.clone_of(output).await?;
    live.one.send(jobs, output.json()).await?;
    let output = live.two.recv_end(inbox, "receiver").await?;
    live.two.close_with(output, 300, "enough").await?;
    // What has room may be sent until the news has come.
    live.settle().await?;
    says(&live.one.send_fails(input, 1, "REFUSED").await?, 300, "enough")
}

async fn fault_sticks(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (reply, replies) = live.one.pipe(4).await?;
    let kept = live.one.clone_of(reply).await?;
    live.one.send(kept, 1).await?;
    live.one.send(jobs, reply.json()).await?;
    live.two.tell("close", inbox).await?;
    live.settle().await?;
    live.one.send(kept, 2).await?;
    live.one.tell("drop", kept).await?;
    live.one.expect(replies, 1).await?;
    live.one.expect(replies, 2).await?;
    live.one.ended_with(replies, NOT_DELIVERED).await
}

async fn unanswered_ends(live: &Live<'_>) -> Done {
    let (receiver, replies) = at_the_door(live).await?;
    live.two.tell("drop", receiver).await?;
    live.one.ended_with(replies, NOT_DELIVERED).await
}
