//! Channel ends in messages.

use super::super::steps::failed;
use super::{Done, Live, cases, end_of};
use crate::json::{Fields, Json, json};

cases! { CASES:
    "li.nested.001" 1 ["AT-03", "AT-04"] sender "a sender in a message: replies come through it";
    "li.nested.002" 1 ["AT-03", "AT-04"] receiver "a receiver in a message: what is sent then goes to whoever has it";
    "li.nested.003" 1 ["AT-03"] both "a sender and a receiver in one message";
    "li.nested.004" 1 ["AT-13", "AT-20"] deep "ends in lists and maps, at any depth, each in its place";
    "li.nested.005" 1 ["AT-09", "AT-15"] twice "the same end twice in a value is one attachment, and two handles";
    "li.nested.006" 1 ["AT-04"] through_nested "a channel sent over a channel that was sent over a channel";
    "li.nested.007" 1 ["CR-01", "CR-02"] capacity "the capacity of a nested channel holds exactly";
    "li.nested.008" 1 ["CR-02", "CR-03"] rendezvous "a nested channel of capacity 0 is a rendezvous";
    "li.nested.009" 1 ["AT-04"] buffered "what a channel holds already goes with its receiver";
    "li.nested.010" 1 ["AT-19", "FR-19"] sixty_four "sixty-four ends in one message";
    "li.nested.011" 1 ["LI-02", "FR-19"] sixty_five "sixty-five ends are refused where they are sent, and remain usable";
    "li.nested.012" 1 ["AT-20"] json_placeholder "ends in a message in json" dial r#"{"codecs":["json"]}"#;
    "li.nested.013" 1 ["AT-20"] cbor_placeholder "ends in a message in cbor" dial r#"{"codecs":["cbor"]}"#;
    "li.home.001" 1 ["AT-10", "AT-07"] sender_home "a sender comes back to where its receiver is";
    "li.home.002" 1 ["AT-03", "CR-02"] receiver_home "a receiver comes back to where its sender is";
    "li.copy.001" 1 ["CR-02"] copy "messages are forwarded without being decoded, and so is the end";
    "li.copy.002" 1 ["CR-02", "AT-03"] copy_ends "ends in forwarded messages work on";
    "li.many.003" 1 ["CH-05", "CR-19"] many_replies "five hundred reply channels at once";
}

async fn sender(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (reply, replies) = live.one.pipe(4).await?;
    live.one.send(jobs, reply.json()).await?;
    let reply = live.two.recv_end(inbox, "sender").await?;
    for n in 0..20 {
        let mut send = live.two.begin_send(reply, n);
        live.one.expect(replies, n).await?;
        send.answer().await?;
    }
    live.two.tell("drop", reply).await?;
    live.one.expect_end(replies).await
}

async fn receiver(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (input, output) = live.one.pipe(4).await?;
    live.one.send(jobs, output.json()).await?;
    let output = live.two.recv_end(inbox, "receiver").await?;
    for n in 0..20 {
        let mut send = live.one.begin_send(input, n);
        live.two.expect(output, n).await?;
        send.answer().await?;
    }
    live.one.tell("drop", input).await?;
    live.two.expect_end(output).await
}

async fn both(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (input, output) = live.one.pipe(1).await?;
    let (reply, replies) = live.one.pipe(1).await?;
    live.one
        .send(jobs, json!({"map": [["text", "double"], ["in", output.json()], ["out", reply.json()]]}))
        .await?;
    let job = live.two.recv(inbox).await?;
    let entry = |at: usize| job.field("map").get(at).and_then(|entry| entry.get(1)).unwrap_or(&Json::Null);
    let (input_there, reply_there) = (end_of(entry(1), "receiver")?, end_of(entry(2), "sender")?);
    for n in 0..5 {
        live.one.send(input, n).await?;
        live.two.expect(input_there, n).await?;
        live.two.send(reply_there, 2 * n).await?;
        live.one.expect(replies, 2 * n).await?;
    }
    Ok(())
}

async fn deep(live: &Live<'_>) -> Done {
    in_places(live).await
}

async fn in_places(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let mut pipes = Vec::new();
    for _ in 0..4 {
        pipes.push(live.one.pipe(2).await?);
    }
    let s = |at: usize| pipes[at].0.json();
    let value = json!([s(0), ["x", s(1)], {"map": [["a", s(2)], ["b", [[[s(3)]]]]]}]);
    live.one.send(jobs, value).await?;
    let value = live.two.recv(inbox).await?;
    let places = ["/0", "/1/1", "/2/map/0/1", "/2/map/1/1/0/0/0"];
    for (at, place) in places.into_iter().enumerate() {
        let sender = end_of(value.pointer(place).unwrap_or(&Json::Null), "sender")?;
        live.two.send(sender, at).await?;
        live.one.expect(pipes[at].1, at).await?;
    }
    Ok(())
}

async fn twice(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(4).await?;
    let (reply, replies) = live.one.pipe(4).await?;
    live.one.send(jobs, json!([reply.json(), reply.json()])).await?;
    let value = live.two.recv(inbox).await?;
    let first = end_of(value.get(0).unwrap_or(&Json::Null), "sender")?;
    let second = end_of(value.get(1).unwrap_or(&Json::Null), "sender")?;
    live.two.send(first, 1).await?;
    live.two.tell("drop", first).await?;
    live.two.send(second, 2).await?;
    live.one.expect(replies, 1).await?;
    live.one.expect(replies, 2).await?;
    live.two.tell("drop", second).await?;
    live.one.expect_end(replies).await
}

async fn through_nested(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (to_one, at_one) = live.one.pipe(1).await?;
    live.one.send(jobs, to_one.json()).await?;
    let to_one = live.two.recv_end(inbox, "sender").await?;
    let (to_two, at_two) = live.two.pipe(1).await?;
    live.two.send(to_one, to_two.json()).await?;
    let to_two = live.one.recv_end(at_one, "sender").await?;
    let (last, at_last) = live.one.pipe(1).await?;
    live.one.send(to_two, last.json()).await?;
    let last = live.two.recv_end(at_two, "sender").await?;
    live.two.send(last, "the third").await?;
    live.one.expect(at_last, "the third").await
}

async fn capacity(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (input, output) = live.one.pipe(2).await?;
    live.one.send(jobs, output.json()).await?;
    let output = live.two.recv_end(inbox, "receiver").await?;
    live.one.send(input, 0).await?;
    live.one.send(input, 1).await?;
    let mut waits = live.one.begin_send(input, 2);
    live.still_waits(&mut waits, "send 3 of a nested channel of 2").await?;
    live.two.expect(output, 0).await?;
    waits.answer().await?;
    live.two.expect(output, 1).await?;
    live.two.expect(output, 2).await
}

async fn rendezvous(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (reply, replies) = live.one.pipe(0).await?;
    live.one.send(jobs, reply.json()).await?;
    let reply = live.two.recv_end(inbox, "sender").await?;
    let mut waits = live.two.begin_send(reply, 1);
    live.still_waits(&mut waits, "a send of a nested rendezvous").await?;
    live.one.expect(replies, 1).await?;
    waits.answer().await?;
    Ok(())
}

async fn buffered(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (input, output) = live.one.pipe(4).await?;
    for n in 0..3 {
        live.one.send(input, n).await?;
    }
    live.one.tell("drop", input).await?;
    live.one.send(jobs, output.json()).await?;
    let output = live.two.recv_end(inbox, "receiver").await?;
    for n in 0..3 {
        live.two.expect(output, n).await?;
    }
    live.two.expect_end(output).await
}

async fn sixty_four(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let mut pipes = Vec::new();
    for _ in 0..64 {
        pipes.push(live.one.pipe(1).await?);
    }
    let mut send = live.one.begin_send(jobs, pipes.iter().map(|(sender, _)| sender.json()).collect::<Json>());
    let value = live.two.recv(inbox).await?;
    send.answer().await?;
    for (at, (_, replies)) in pipes.iter().enumerate() {
        let sender = end_of(value.get(at).unwrap_or(&Json::Null), "sender")?;
        live.two.send(sender, at).await?;
        live.one.expect(*replies, at).await?;
    }
    Ok(())
}

async fn sixty_five(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let mut pipes = Vec::new();
    for _ in 0..65 {
        pipes.push(live.one.pipe(1).await?);
    }
    let all = pipes.iter().map(|(sender, _)| sender.json()).collect::<Json>();
    live.one.send_fails(jobs, all, "TOO_MANY_ATTACHMENTS").await?;
    let (last, replies) = pipes[64];
    live.one.send(jobs, last.json()).await?;
    let last = live.two.recv_end(inbox, "sender").await?;
    live.two.send(last, "it works").await?;
    live.one.expect(replies, "it works").await
}

async fn json_placeholder(live: &Live<'_>) -> Done {
    in_places(live).await
}

async fn cbor_placeholder(live: &Live<'_>) -> Done {
    in_places(live).await
}

async fn sender_home(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (back, at_one) = live.channel_back(1).await?;
    let (sender, receiver) = live.one.pipe(4).await?;
    live.one.send(jobs, sender.json()).await?;
    let away = live.two.recv_end(inbox, "sender").await?;
    live.two.send(away, "from away").await?;
    live.two.send(back, away.json()).await?;
    let home = live.one.recv_end(at_one, "sender").await?;
    live.one.send(home, "from home").await?;
    live.one.expect(receiver, "from away").await?;
    live.one.expect(receiver, "from home").await?;
    live.one.tell("drop", home).await?;
    live.one.expect_end(receiver).await
}

async fn receiver_home(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (back, at_one) = live.channel_back(1).await?;
    let (sender, receiver) = live.one.pipe(4).await?;
    live.one.send(jobs, receiver.json()).await?;
    let away = live.two.recv_end(inbox, "receiver").await?;
    live.one.send(sender, 1).await?;
    live.two.expect(away, 1).await?;
    live.two.send(back, away.json()).await?;
    let home = live.one.recv_end(at_one, "receiver").await?;
    for n in 2..6 {
        let mut send = live.one.begin_send(sender, n);
        live.one.expect(home, n).await?;
        send.answer().await?;
    }
    live.one.tell("drop", sender).await?;
    live.one.expect_end(home).await
}

async fn copy(live: &Live<'_>) -> Done {
    let (there, at_two) = live.channel(2).await?;
    let (back, at_one) = live.channel_back(2).await?;
    let mut copying = live
        .two
        .begin("copy", json!({"receiver": at_two.json()["receiver"], "sender": back.json()["sender"]}));
    for n in 0..20 {
        let mut send = live.one.begin_send(there, json!({"map": [["n", n]]}));
        live.one.expect(at_one, json!({"map": [["n", n]]})).await?;
        send.answer().await?;
    }
    live.one.tell("drop", there).await?;
    live.one.expect_end(at_one).await?;
    copying.answer().await?;
    Ok(())
}

async fn copy_ends(live: &Live<'_>) -> Done {
    let (there, at_two) = live.channel(2).await?;
    let (back, at_one) = live.channel_back(2).await?;
    let _copying = live
        .two
        .begin("copy", json!({"receiver": at_two.json()["receiver"], "sender": back.json()["sender"]}));
    let (sender, receiver) = live.one.pipe(1).await?;
    live.one.send(there, json!(["take", sender.json()])).await?;
    let value = live.one.recv(at_one).await?;
    let sender = end_of(value.get(1).unwrap_or(&Json::Null), "sender")?;
    for n in 0..3 {
        let mut send = live.one.begin_send(sender, n);
        live.one.expect(receiver, n).await?;
        send.answer().await?;
    }
    live.one.tell("drop", sender).await?;
    live.one.expect_end(receiver).await?;
    live.one.tell("drop", there).await?;
    live.one.expect_end(at_one).await
}

async fn many_replies(live: &Live<'_>) -> Done {
    const COUNT: usize = 500;
    let (jobs, inbox) = live.channel(8).await?;
    let mut replies = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..COUNT {
        let (reply, receiver) = live.one.pipe(1).await?;
        replies.push(receiver);
        live.one.send(jobs, reply.json()).await?;
        senders.push(live.two.recv_end(inbox, "sender").await?);
    }
    for (at, sender) in senders.iter().enumerate() {
        live.two.send(*sender, at).await?;
        live.two.tell("drop", *sender).await?;
    }
    for (at, receiver) in replies.into_iter().enumerate() {
        live.one.expect(receiver, at).await?;
        live.one.expect_end(receiver).await?;
    }
    if senders.len() == COUNT { Ok(()) } else { failed("some are missing") }
}
