//! Messages: order, capacity, rendezvous, size, competition.

use super::super::steps::{Trouble, failed};
use super::{Done, End, Live, cases, end_of};
use crate::json::{Fields, Json, json};

cases! { CASES:
    "li.order.001" 0 ["MO-01"] order "a thousand messages arrive in order, each once";
    "li.order.002" 0 ["MO-01"] both_ways "two channels, one in each direction, at the same time";
    "li.capacity.001" 0 ["CR-01", "CR-02", "CR-04"] capacity_1 "capacity 1: the second send waits until the first message is taken";
    "li.capacity.002" 0 ["CR-01", "CR-02", "CR-04"] capacity_4 "capacity 4: four sends complete, the fifth waits until one is taken";
    "li.capacity.003" 0 ["CR-01", "CR-02"] capacity_64 "capacity 64: the sixty-fifth send waits";
    "li.capacity.004" 0 ["CR-10", "CR-07"] bytes "a capacity in messages holds when its bytes are far more than the first window";
    "li.rendezvous.001" 0 ["CR-02", "CR-03"] rendezvous "capacity 0: a send completes when its message is taken, not before";
    "li.rendezvous.002" 0 ["CR-02", "CR-03"] rendezvous_waiting "capacity 0: a receive that waits already is served";
    "li.rendezvous.003" 0 ["CR-03"] rendezvous_given_up "capacity 0: a receive that was given up takes nothing";
    "li.recv.001" 0 ["CR-03"] given_up "a receive that is given up loses no message";
    "li.large.001" 0 ["CR-07", "CR-13", "FR-24"] large "a message of 400,000 bytes, far more than the first window";
    "li.large.002" 0 ["CR-13", "MO-02"] large_unread "a large message that nobody reads does not delay another channel";
    "li.large.003" 0 ["FR-20", "LI-02"] too_large "a message above max_message is refused where it is sent; the next one is unharmed" dial r#"{"hello":{"max_message":1000}}"#;
    "li.large.004" 0 ["CR-07"] sizes "payloads around the sizes at which the form of a message changes";
    "li.isolation.001" 0 ["MO-02"] isolation "a channel that nobody reads delays no other";
    "li.isolation.002" 0 ["CH-07"] unaccepted "a channel that nobody accepts delays no other";
    "li.many.001" 0 ["CH-05"] many "a thousand channels, each with a message";
    "li.many.002" 0 ["CH-04"] again "a hundred channels one after the other: their ids are used again";
    "li.compete.001" 1 ["CR-01", "AT-06"] compete "two receivers of one channel, one here and one remote, share its messages";
    "li.compete.002" 1 ["CR-05", "CH-21"] handed_on "a remote receiver that leaves with a message that it has not taken: another one gets it";
    "li.compete.003" 2 ["CR-05", "AT-11", "BY-11"] handed_on_whole "an untaken message of a receiver that leaves goes to another one with the ends and the stream in it";
}

async fn order(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(16).await?;
    for first in (0..1000).step_by(10) {
        let mut sends: Vec<_> = (first..first + 10).map(|n| live.one.begin_send(sender, n)).collect();
        for n in first..first + 10 {
            live.two.expect(receiver, n).await?;
        }
        for send in &mut sends {
            send.answer().await?;
        }
    }
    live.one.tell("drop", sender).await?;
    live.two.expect_end(receiver).await
}

async fn both_ways(live: &Live<'_>) -> Done {
    let (there, at_two) = live.channel(4).await?;
    let (back, at_one) = live.channel_back(4).await?;
    for n in 0..100 {
        let (mut out, mut home) = (live.one.begin_send(there, n), live.two.begin_send(back, -n));
        live.two.expect(at_two, n).await?;
        live.one.expect(at_one, -n).await?;
        out.answer().await?;
        home.answer().await?;
    }
    Ok(())
}

async fn holds_exactly(live: &Live<'_>, capacity: u32, value: impl Fn(u32) -> Json) -> Done {
    let (sender, receiver) = live.channel(capacity).await?;
    for n in 0..capacity {
        live.one.send(sender, value(n)).await?;
    }
    let mut waits = live.one.begin_send(sender, value(capacity));
    live.still_waits(&mut waits, &format!("send {} of a channel of {capacity}", capacity + 1)).await?;
    for n in 0..=capacity {
        live.two.expect(receiver, value(n)).await?;
        if n == 0 {
            waits.answer().await?;
        }
    }
    Ok(())
}

async fn capacity_1(live: &Live<'_>) -> Done {
    holds_exactly(live, 1, |n| n.into()).await
}

async fn capacity_4(live: &Live<'_>) -> Done {
    holds_exactly(live, 4, |n| n.into()).await
}

async fn capacity_64(live: &Live<'_>) -> Done {
    holds_exactly(live, 64, |n| n.into()).await
}

/// The bytes of what waits may be bounded more tightly than the messages, but each of them passes in its turn.
async fn bytes(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(8).await?;
    let value = |n: usize| json!({"bytes": format!("{n:02x}").repeat(5000)});
    let mut sends: Vec<_> = (0..32).map(|n| live.one.begin_send(sender, value(n))).collect();
    for n in 0..32 {
        live.two.expect(receiver, value(n)).await?;
    }
    for send in &mut sends {
        send.answer().await?;
    }
    Ok(())
}

async fn rendezvous(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(0).await?;
    for n in 0..10 {
        let mut waits = live.one.begin_send(sender, n);
        if n == 0 {
            live.still_waits(&mut waits, "a send of a rendezvous").await?;
        }
        live.two.expect(receiver, n).await?;
        waits.answer().await?;
    }
    Ok(())
}

async fn rendezvous_waiting(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(0).await?;
    for n in 0..10 {
        let mut waits = live.two.begin_recv(receiver);
        if n == 0 {
            live.still_waits(&mut waits, "a receive").await?;
        }
        live.one.send(sender, n).await?;
        let reply = waits.answer().await?;
        if *reply.field("value") != json!(n) {
            return failed(format!("recv gives {reply} in the place of {n}"));
        }
    }
    Ok(())
}

async fn rendezvous_given_up(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(0).await?;
    let mut waits = live.two.begin_recv(receiver);
    live.still_waits(&mut waits, "a receive").await?;
    let reply = live.two.ask("give_up", json!({"request": waits.n})).await?;
    if !reply.flag("given_up") {
        return failed("a receive that waits cannot be given up");
    }
    super::fails(waits.answer().await, &["GIVEN_UP"])?;
    let mut send = live.one.begin_send(sender, 1);
    live.still_waits(&mut send, "a send that no receive waits for").await?;
    live.two.expect(receiver, 1).await?;
    send.answer().await?;
    Ok(())
}

async fn given_up(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(8).await?;
    for n in 0..20 {
        let mut waits = live.two.begin_recv(receiver);
        let send = live.one.begin_send(sender, n);
        let reply = live.two.ask("give_up", json!({"request": waits.n})).await?;
        let got = waits.answer().await;
        match (reply.flag("given_up"), got) {
            (false, Ok(reply)) if *reply.field("value") == json!(n) => {}
            (true, Err(failure)) if failure.name() == Some("GIVEN_UP") => {
                live.two.expect(receiver, n).await?
            }
            (said, got) => return failed(format!("given_up is {said}, and the receive comes to {got:?}")),
        }
        live.one.answer(send).await?;
    }
    Ok(())
}

/// `bytes` bytes, as a value.
fn bulk(bytes: usize) -> Json {
    json!({"bytes": (0..bytes).map(|at| format!("{:02x}", at % 251)).collect::<String>()})
}

async fn large(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(2).await?;
    let value = bulk(400_000);
    let mut send = live.one.begin_send(sender, value.clone());
    live.two.expect(receiver, value).await?;
    send.answer().await?;
    Ok(())
}

async fn large_unread(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(2).await?;
    let value = bulk(300_000);
    let mut send = live.one.begin_send(sender, value.clone());
    live.settle().await?;
    live.two.expect(receiver, value).await?;
    send.answer().await?;
    Ok(())
}

async fn too_large(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(2).await?;
    live.one.send_fails(sender, bulk(2000), "TOO_LARGE").await?;
    live.one.send(sender, bulk(900)).await?;
    live.two.expect(receiver, bulk(900)).await
}

async fn sizes(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(2).await?;
    let around = |size: usize| (size.saturating_sub(40)..=size + 8).step_by(8);
    let sizes = [0, 1024, 2048, 8192, 65_536].into_iter().flat_map(around);
    for value in sizes.map(bulk) {
        let mut send = live.one.begin_send(sender, value.clone());
        live.two.expect(receiver, value).await?;
        send.answer().await?;
    }
    Ok(())
}

async fn isolation(live: &Live<'_>) -> Done {
    let (sender, receiver) = live.channel(4).await?;
    for n in 0..4 {
        live.one.send(sender, n).await?;
    }
    let mut waits = live.one.begin_send(sender, 4);
    live.still_waits(&mut waits, "a send of a full channel").await?;
    for n in 0..5 {
        live.two.expect(receiver, n).await?;
    }
    waits.answer().await?;
    Ok(())
}

async fn unaccepted(live: &Live<'_>) -> Done {
    let early = live.one.open("early", 4).await?;
    for n in 0..4 {
        live.one.send(early, n).await?;
    }
    let (back, at_one) = live.channel_back(1).await?;
    live.two.send(back, "past it").await?;
    live.one.expect(at_one, "past it").await?;
    let receiver = live.two.incoming("early").await?;
    for n in 0..4 {
        live.two.expect(receiver, n).await?;
    }
    Ok(())
}

async fn many(live: &Live<'_>) -> Done {
    const COUNT: u32 = 1000;
    let mut channels = Vec::new();
    for at in 0..COUNT {
        let sender = live.one.open(&format!("channel {at}"), 1).await?;
        let receiver = live.two.incoming(&format!("channel {at}")).await?;
        // What was not used yet is not answered, and so many may wait for an answer (CH-07).
        live.one.send(sender, "accept").await?;
        live.two.expect(receiver, "accept").await?;
        channels.push((sender, receiver));
    }
    for (at, (sender, _)) in channels.iter().enumerate() {
        live.one.send(*sender, at).await?;
    }
    for (at, (_, receiver)) in channels.iter().enumerate().rev() {
        live.two.expect(*receiver, at).await?;
    }
    Ok(())
}

async fn again(live: &Live<'_>) -> Done {
    for n in 0..100 {
        let (sender, receiver) = live.channel(1).await?;
        live.one.send(sender, n).await?;
        live.one.tell("drop", sender).await?;
        live.two.expect(receiver, n).await?;
        live.two.expect_end(receiver).await?;
        live.two.tell("drop", receiver).await?;
    }
    Ok(())
}

/// A channel with two receivers that compete: its sender and a receiver at `one`, and the receiver at `two`.
async fn competing(live: &Live<'_>) -> Result<(End, End, End), Trouble> {
    let (jobs, here) = live.one.pipe(4).await?;
    let clone = live.one.clone_of(here).await?;
    let (sender, receiver) = live.channel(1).await?;
    live.one.send(sender, clone.json()).await?;
    Ok((jobs, here, live.two.recv_end(receiver, "receiver").await?))
}

async fn compete(live: &Live<'_>) -> Done {
    let (jobs, here, there) = competing(live).await?;
    let mut taken = Vec::new();
    for n in 0..20 {
        let mut waits = [live.one.begin_recv(here), live.two.begin_recv(there)];
        live.one.send(jobs, 2 * n).await?;
        live.one.send(jobs, 2 * n + 1).await?;
        for wait in &mut waits {
            let reply = wait.answer().await?;
            taken.push(reply.field("value").as_u64().unwrap_or(u64::MAX));
        }
    }
    taken.sort_unstable();
    if taken.iter().copied().eq(0..40) { Ok(()) } else { failed(format!("taken were {taken:?}")) }
}

/// Sends a message that lies at `two`, which had asked for it and does not take it.
async fn lies_untaken(live: &Live<'_>, jobs: End, there: End, message: Json) -> Done {
    // It has asked for one message, and will not take it.
    let mut waits = live.two.begin_recv(there);
    live.still_waits(&mut waits, "a receive").await?;
    live.two.ask("give_up", json!({"request": waits.n})).await?;
    super::fails(waits.answer().await, &["GIVEN_UP"])?;
    live.one.send(jobs, message).await?;
    live.settle().await
}

async fn handed_on(live: &Live<'_>) -> Done {
    let (jobs, here, there) = competing(live).await?;
    lies_untaken(live, jobs, there, 7.into()).await?;
    live.two.tell("drop", there).await?;
    live.one.expect(here, 7).await
}

async fn handed_on_whole(live: &Live<'_>) -> Done {
    let (jobs, here, there) = competing(live).await?;
    let ((reply, replies), (words, reading)) = (live.one.pipe(4).await?, live.one.pipe(4).await?);
    let (mine, other) = live.one.stream().await?;
    live.one.write(mine, "0102").await?;
    live.one.send(words, 1).await?;
    lies_untaken(live, jobs, there, json!([reply.json(), reading.json(), other.json()])).await?;
    live.one.write(mine, "03").await?;
    live.one.send(words, 2).await?;
    live.two.tell("drop", there).await?;

    let value = live.one.recv(here).await?;
    let at = |place: usize, kind| end_of(value.get(place).unwrap_or(&Json::Null), kind);
    let (reply, reading, other) = (at(0, "sender")?, at(1, "receiver")?, at(2, "stream")?);
    live.one.send(reply, 3).await?;
    // How it ends is not asked yet: the Rust library passes on that `two` has dropped it unread.
    live.one.expect(replies, 3).await?;
    live.one.tell("drop", words).await?;
    live.one.expect(reading, 1).await?;
    live.one.expect(reading, 2).await?;
    live.one.expect_end(reading).await?;
    live.one.tell("finish", mine).await?;
    let read = live.one.read_all(other).await?;
    if read == "010203" { Ok(()) } else { failed(format!("the stream gives {read}")) }
}
