//! Byte streams and descriptors in messages.

use super::super::codes::NOT_DELIVERED;
use super::super::steps::failed;
use super::{Done, End, Live, Trouble, cases, end_of};
use crate::json::{Json, json};

/// The code of a stream that was dropped before its end was said.
const ABANDONED: u16 = 42;

cases! { CASES:
    "li.stream.001" 2 ["BY-05", "AT-03"] half_close "a stream in a message: bytes both ways, each direction ends by itself";
    "li.stream.002" 2 ["CR-15", "BY-05"] bulk "a quarter of a megabyte one way, byte for byte";
    "li.stream.003" 2 ["BY-09"] dropped "a stream that is dropped without an end: what was written, then ABANDONED; the other side can write no more";
    "li.stream.004" 2 ["BY-11"] buffered "what was written before the stream was sent comes first";
    "li.stream.005" 2 ["CR-15"] backpressure "a write of far more than the window waits until it is read";
    "li.stream.006" 2 ["MO-02"] isolation "a stream that nobody reads delays no channel";
    "li.stream.007" 2 ["BY-10", "AT-15"] once "a stream travels on: it may be sent again by whoever got it";
    "li.stream.008" 2 ["AT-11"] untaken "a stream in a message that nobody takes is ended as NOT_DELIVERED";
    "li.stream.009" 2 ["AT-03", "FR-19"] several "two streams and a sender in one message, each in its place";
    "li.stream.010" 2 ["BY-08"] lost "a stream whose session is lost fails, and does not look complete" => Over;
    "li.stream.011" 2 ["SE-18", "BY-08"] left "a stream whose session is left: what was written, then the session was closed" => Over;
    "li.stream.012" 2 ["BY-02", "CH-05"] many_over "a hundred streams that are over, one after the other, and whose handles are kept: eight ids are enough" dial r#"{"hello":{"max_channels":8}}"#;
    "li.fd.001" 3 ["AT-16", "UN-03"] descriptor "a descriptor in a message: it is passed, or a stream stands for it";
    "li.fd.002" 3 ["AT-16", "UN-03", "UN-01"] descriptors "twenty descriptors in one message, in their order";
    "li.fd.003" 3 ["CR-16"] untaken_descriptors "descriptors that nobody takes are closed and given back";
    "li.fd.004" 3 ["CR-16", "AT-18"] many_descriptors "more descriptors one after the other than may be out at a time";
    "li.fd.005" 3 ["AT-16"] mixed "descriptors among streams and senders, each in its place";
}

/// A channel, and a stream of which the other side has one end: here and there.
async fn sent_stream(live: &Live<'_>) -> Result<(End, End), Trouble> {
    let (jobs, inbox) = live.channel(1).await?;
    let (here, other) = live.one.stream().await?;
    live.one.send(jobs, other.json()).await?;
    Ok((here, live.two.recv_end(inbox, "stream").await?))
}

fn bytes(count: usize) -> String {
    (0..count).map(|at| format!("{:02x}", at % 251)).collect()
}

fn same(got: &str, sent: &str) -> Done {
    if got == sent {
        return Ok(());
    }
    let at = got.bytes().zip(sent.bytes()).take_while(|(one, other)| one == other).count() / 2;
    failed(format!("{} bytes of {} came, and differ from byte {at} on", got.len() / 2, sent.len() / 2))
}

async fn half_close(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    live.one.write(here, "68656c6c6f").await?;
    same(&live.two.read(there, 5).await?, "68656c6c6f")?;
    live.two.write(there, "6869").await?;
    same(&live.one.read(here, 2).await?, "6869")?;
    live.one.tell("finish", here).await?;
    same(&live.two.read_all(there).await?, "")?;
    live.two.write(there, "6c617465").await?;
    live.two.tell("finish", there).await?;
    same(&live.one.read_all(here).await?, "6c617465")
}

async fn bulk(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    let all = bytes(1 << 18);
    let mut writing = live.one.begin_write(here, &all);
    let finishing = live.one.begin("finish", here.json());
    let got = live.two.read_all(there).await;
    writing.answer().await?;
    live.one.answer(finishing).await?;
    same(&got?, &all)
}

async fn dropped(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    live.one.write(here, "01").await?;
    live.one.tell("drop", here).await?;
    same(&live.two.read_cut(there, ABANDONED).await?, "01")?;
    for _ in 0..1000 {
        match live.two.begin_write(there, "02").answer().await {
            Ok(_) => {}
            failure => return super::fails(failure, &["CLOSED"]).map(|_| ()),
        }
    }
    failed("a thousand writes to a stream that nobody reads succeed")
}

async fn buffered(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (here, other) = live.one.stream().await?;
    live.one.write(here, "0102").await?;
    live.one.send(jobs, other.json()).await?;
    live.one.write(here, "0304").await?;
    live.one.tell("finish", here).await?;
    let there = live.two.recv_end(inbox, "stream").await?;
    same(&live.two.read_all(there).await?, "01020304")
}

async fn backpressure(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    let all = bytes(1 << 19);
    let mut writing = live.one.begin_write(here, &all);
    live.still_waits(&mut writing, "a write of half a megabyte that nobody reads").await?;
    same(&live.two.read(there, 1 << 19).await?, &all)?;
    writing.answer().await?;
    Ok(())
}

async fn isolation(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    let mut writing = live.one.begin_write(here, &bytes(1 << 19));
    live.settle().await?;
    live.two.read(there, 1 << 19).await?;
    writing.answer().await?;
    Ok(())
}

async fn once(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    let (back, at_one) = live.channel_back(1).await?;
    live.two.send(back, there.json()).await?;
    let there = live.one.recv_end(at_one, "stream").await?;
    live.one.write(here, "0102").await?;
    live.one.tell("finish", here).await?;
    same(&live.one.read_all(there).await?, "0102")?;
    live.one.write(there, "03").await?;
    live.one.tell("finish", there).await?;
    same(&live.one.read_all(here).await?, "03")
}

async fn untaken(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (here, other) = live.one.stream().await?;
    live.one.send(jobs, other.json()).await?;
    live.two.tell("close", inbox).await?;
    same(&live.one.read_cut(here, NOT_DELIVERED).await?, "")
}

async fn several(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (first, first_other) = live.one.stream().await?;
    let (reply, replies) = live.one.pipe(1).await?;
    let (second, second_other) = live.one.stream().await?;
    live.one.send(jobs, json!([first_other.json(), reply.json(), second_other.json()])).await?;
    let value = live.two.recv(inbox).await?;
    let at = |place: usize| value.get(place).unwrap_or(&Json::Null);
    let (one, reply, two) = (end_of(at(0), "stream")?, end_of(at(1), "sender")?, end_of(at(2), "stream")?);
    live.one.write(first, "01").await?;
    live.one.write(second, "02").await?;
    same(&live.two.read(two, 1).await?, "02")?;
    same(&live.two.read(one, 1).await?, "01")?;
    live.two.send(reply, "between").await?;
    live.one.expect(replies, "between").await
}

async fn lost(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    live.one.write(here, "01").await?;
    same(&live.two.read(there, 1).await?, "01")?;
    live.one.abort().await?;
    let mut arguments = there.json();
    arguments["max"] = 1.into();
    super::fails(live.two.ask("read", arguments).await, &["DISCONNECTED"])?;
    live.two.drop_session().await
}

async fn left(live: &Live<'_>) -> Done {
    let (here, there) = sent_stream(live).await?;
    live.one.write(here, "01").await?;
    same(&live.two.read(there, 1).await?, "01")?;
    if let Some(mut leaving) = live.one.begin_leave() {
        leaving.answer().await?;
    }
    let mut arguments = there.json();
    arguments["max"] = 1.into();
    super::fails(live.two.ask("read", arguments).await, &["SESSION_CLOSED"])?;
    live.two.drop_session().await
}

async fn many_over(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    for n in 0..100 {
        let payload = format!("{n:02x}");
        let (here, other) = live.one.stream().await?;
        live.one.send(jobs, other.json()).await?;
        let there = live.two.recv_end(inbox, "stream").await?;
        live.one.write(here, &payload).await?;
        live.one.tell("finish", here).await?;
        live.two.tell("finish", there).await?;
        same(&live.one.read_all(here).await?, "")?;
        live.one.tell("drop", here).await?;
        same(&live.two.read_all(there).await?, &payload)?;
    }
    Ok(())
}

// ---- descriptors

/// What came for a descriptor: itself where the link passes them, else a stream.
fn descriptor_of(live: &Live<'_>, json: &Json) -> Result<End, Trouble> {
    let kind = if live.passes_descriptors() { "fd" } else { "stream" };
    end_of(json, kind)
}

async fn descriptor_with(live: &Live<'_>, payload: &str) -> Result<End, Trouble> {
    end_of(&live.one.ask("fd", json!({"payload": payload})).await?, "fd")
}

async fn descriptor(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let payload = bytes(100_000);
    let fd = descriptor_with(live, &payload).await?;
    live.one.send(jobs, json!({"map": [["file", fd.json()]]})).await?;
    let value = live.two.recv(inbox).await?;
    let there = descriptor_of(live, value.pointer("/map/0/1").unwrap_or(&Json::Null))?;
    same(&live.two.read_all(there).await?, &payload)
}

async fn descriptors(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let mut value = Vec::new();
    for n in 0..20 {
        value.push(descriptor_with(live, &format!("{n:02x}")).await?.json());
    }
    live.one.send(jobs, value).await?;
    let value = live.two.recv(inbox).await?;
    for n in 0..20 {
        let there = descriptor_of(live, value.get(n).unwrap_or(&Json::Null))?;
        same(&live.two.read_all(there).await?, &format!("{n:02x}"))?;
    }
    Ok(())
}

async fn untaken_descriptors(live: &Live<'_>) -> Done {
    for _ in 0..4 {
        let (jobs, inbox) = live.channel(4).await?;
        for _ in 0..4 {
            let fd = descriptor_with(live, "01").await?;
            live.one.send(jobs, fd.json()).await?;
        }
        live.two.tell("close", inbox).await?;
        live.one.sends_until(jobs, "CANCELLED").await?;
    }
    Ok(())
}

async fn many_descriptors(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(8).await?;
    for n in 0..300 {
        let payload = format!("{:02x}", n % 256);
        let fd = descriptor_with(live, &payload).await?;
        live.one.send(jobs, fd.json()).await?;
        let there = descriptor_of(live, &live.two.recv(inbox).await?)?;
        same(&live.two.read_all(there).await?, &payload)?;
        live.two.tell("drop", there).await?;
    }
    Ok(())
}

async fn mixed(live: &Live<'_>) -> Done {
    let (jobs, inbox) = live.channel(1).await?;
    let (here, other) = live.one.stream().await?;
    let (reply, replies) = live.one.pipe(1).await?;
    let (one, two) = (descriptor_with(live, "01").await?, descriptor_with(live, "02").await?);
    live.one.send(jobs, json!([one.json(), other.json(), two.json(), reply.json()])).await?;
    let value = live.two.recv(inbox).await?;
    let at = |place: usize| value.get(place).unwrap_or(&Json::Null);
    same(&live.two.read_all(descriptor_of(live, at(0))?).await?, "01")?;
    same(&live.two.read_all(descriptor_of(live, at(2))?).await?, "02")?;
    let there = end_of(at(1), "stream")?;
    live.one.write(here, "03").await?;
    same(&live.two.read(there, 1).await?, "03")?;
    live.two.send(end_of(at(3), "sender")?, 4).await?;
    live.one.expect(replies, 4).await?;
    if there.is("stream") { Ok(()) } else { failed("the stream is none") }
}
