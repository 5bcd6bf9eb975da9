//! Cases between three: what is nested passes through the one in the middle, which has a session with each of the others.

use super::super::codes::NOT_DELIVERED;
use super::super::peer::Testee;
use super::super::steps::{Trouble, failed};
use super::{Done, End, Live, Running, check_leaks, end_of, fails, says, stats};
use crate::json::{Fields, Json, json};

/// Two sessions: `left` between the first and the middle, `right` between the middle and the last.
pub(in super::super) struct Chain<'a> {
    pub(in super::super) left: Live<'a>,
    pub(in super::super) right: Live<'a>,
}

/// A case between three.
pub(in super::super) struct ChainCase {
    pub(in super::super) id: &'static str,
    pub(in super::super) level: u8,
    pub(in super::super) requirements: &'static [&'static str],
    pub(in super::super) why: &'static str,
    run: for<'a> fn(&'a Chain<'a>) -> Running<'a>,
}

macro_rules! chain_cases {
    ($($id:literal $level:literal [$($req:literal),*] $run:ident $why:literal;)*) => {
        pub(in super::super) const CHAINS: &[ChainCase] = &[$(ChainCase {
            id: $id,
            level: $level,
            requirements: &[$($req),*],
            why: $why,
            run: |chain| Box::pin($run(chain)),
        }),*];
    };
}

chain_cases! {
    "li.chain.001" 1 ["AT-03", "CR-02"] sender "a sender passes through the middle: the last one's replies reach the first";
    "li.chain.002" 1 ["AT-03", "CR-02"] receiver "a receiver passes through the middle: what the first sends reaches the last";
    "li.chain.003" 1 ["AT-03", "AT-04"] three_deep "a channel in a channel in a channel, each through all three";
    "li.chain.004" 1 ["CR-02", "CR-02"] capacity "the capacity of a channel holds exactly across the middle";
    "li.chain.005" 1 ["CR-02", "CR-02"] rendezvous "a rendezvous across the middle: the send completes when the last has taken the message";
    "li.chain.006" 1 ["CH-20", "CH-21"] errors "errors of both ends pass through the middle";
    "li.chain.007" 1 ["AT-10", "AT-07"] home "a sender goes to the last one, comes back through the middle and works";
    "li.chain.008" 2 ["BY-05", "BY-11"] stream "a stream through the middle, both ways, with half-close";
    "li.chain.009" 3 ["AT-16"] descriptor "a descriptor through the middle, passed or as a stream";
    "li.chain.010" 1 ["CR-02"] copy "the middle forwards a channel without decoding it, ends included";
    "li.chain.011" 1 ["MO-03"] lost "the middle loses one session: the other side of its channels is told";
    "li.chain.012" 1 ["ER-05", "AT-11"] error_passes "an end that was not delivered at the last one says so at the first, code and all";
    "li.chain.013" 2 ["ER-05", "BY-09"] abandoned "a stream that is dropped at the last one is ABANDONED at the first";
}

/// Runs a case between three on sessions of its own.
pub(in super::super) async fn run(case: &ChainCase, chain: &Chain<'_>) -> Done {
    let testees: [&Testee; 3] = [chain.left.one.testee, chain.left.two.testee, chain.right.two.testee];
    let mut before = Vec::new();
    for testee in testees {
        before.push(stats(testee).await?);
    }
    chain.left.connect(json!({}), json!({})).await?;
    chain.right.connect(json!({}), json!({})).await?;
    (case.run)(chain).await?;
    let sides = [&chain.left.one, &chain.left.two, &chain.right.one, &chain.right.two];
    for side in sides {
        side.drop_all().await?;
    }
    let leaving: Vec<_> = sides.into_iter().filter_map(|side| side.begin_leave()).collect();
    for mut pending in leaving {
        if let Err(why) = pending.answer().await
            && case.id != "li.chain.011"
        {
            return failed(format!("a session is not left in good order: {why}"));
        }
    }
    for (testee, before) in testees.into_iter().zip(&before) {
        check_leaks(testee, before).await?;
    }
    Ok(())
}

impl Chain<'_> {
    /// Takes one end from the first through the middle to the last; it is a handle of the last then.
    async fn carry(&self, end: End, kind: &'static str) -> Result<End, Trouble> {
        let (first, at_middle) = self.left.channel(1).await?;
        self.left.one.send(first, json!(["one of these", end.json()])).await?;
        let value = self.left.two.recv(at_middle).await?;
        // What stands for a descriptor may be of another kind on the way.
        let passed = value.get(1).cloned().unwrap_or_default();
        let (middle, at_last) = self.right.channel(1).await?;
        self.right.one.send(middle, json!({"map": [["it", passed]]})).await?;
        let value = self.right.two.recv(at_last).await?;
        let arrived = value.pointer("/map/0/1").unwrap_or(&Json::Null);
        match kind {
            "fd" => end_of(arrived, "fd").or_else(|_| end_of(arrived, "stream")),
            kind => end_of(arrived, kind),
        }
    }

    /// Everything that was said has arrived.
    async fn settle(&self) -> Done {
        for _ in 0..2 {
            self.left.settle().await?;
            self.right.settle().await?;
        }
        Ok(())
    }
}

async fn sender(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (reply, replies) = a.pipe(4).await?;
    let reply = chain.carry(reply, "sender").await?;
    for n in 0..20 {
        let mut send = c.begin_send(reply, n);
        a.expect(replies, n).await?;
        send.answer().await?;
    }
    c.tell("drop", reply).await?;
    a.expect_end(replies).await
}

async fn receiver(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (input, output) = a.pipe(4).await?;
    a.send(input, "before").await?;
    let output = chain.carry(output, "receiver").await?;
    c.expect(output, "before").await?;
    for n in 0..20 {
        let mut send = a.begin_send(input, n);
        c.expect(output, n).await?;
        send.answer().await?;
    }
    a.tell("drop", input).await?;
    c.expect_end(output).await
}

async fn three_deep(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (to_a, at_a) = a.pipe(1).await?;
    let to_a = chain.carry(to_a, "sender").await?;
    // The second one goes over the first, and so through the middle without its looking.
    let (to_c, at_c) = c.pipe(1).await?;
    c.send(to_a, json!({"map": [["reply", to_c.json()]]})).await?;
    let value = a.recv(at_a).await?;
    let to_c = end_of(value.pointer("/map/0/1").unwrap_or(&Json::Null), "sender")?;
    let (last, at_last) = a.pipe(1).await?;
    a.send(to_c, json!([last.json()])).await?;
    let value = c.recv(at_c).await?;
    let last = end_of(value.get(0).unwrap_or(&Json::Null), "sender")?;
    for n in 0..5 {
        let mut send = c.begin_send(last, n);
        a.expect(at_last, n).await?;
        send.answer().await?;
    }
    c.tell("drop", last).await?;
    a.expect_end(at_last).await
}

async fn capacity(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (input, output) = a.pipe(2).await?;
    let output = chain.carry(output, "receiver").await?;
    a.send(input, 0).await?;
    a.send(input, 1).await?;
    let mut waits = a.begin_send(input, 2);
    chain.settle().await?;
    if let Some(answer) = waits.try_answer() {
        return failed(format!("send 3 of a channel of 2 does not wait: {answer:?}"));
    }
    c.expect(output, 0).await?;
    waits.answer().await?;
    c.expect(output, 1).await?;
    c.expect(output, 2).await
}

async fn rendezvous(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (input, output) = a.pipe(0).await?;
    let output = chain.carry(output, "receiver").await?;
    let mut waits = a.begin_send(input, 1);
    chain.settle().await?;
    if let Some(answer) = waits.try_answer() {
        return failed(format!("a send of a rendezvous does not wait: {answer:?}"));
    }
    c.expect(output, 1).await?;
    waits.answer().await?;
    Ok(())
}

async fn errors(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (reply, replies) = a.pipe(4).await?;
    let reply = chain.carry(reply, "sender").await?;
    c.send(reply, 1).await?;
    c.close_with(reply, 300, "from the last").await?;
    a.expect(replies, 1).await?;
    says(&a.recv_fails(replies, "ENDED_WITH").await?, 300, "from the last")?;
    let (input, output) = a.pipe(4).await?;
    let output = chain.carry(output, "receiver").await?;
    c.close_with(output, 301, "no more").await?;
    says(&a.sends_until(input, "REFUSED").await?, 301, "no more")
}

async fn home(chain: &Chain<'_>) -> Done {
    let (a, b, c) = (&chain.left.one, &chain.right.one, &chain.right.two);
    let (sender, receiver) = a.pipe(4).await?;
    let sender = chain.carry(sender, "sender").await?;
    c.send(sender, 1).await?;
    let (back, at_middle) = chain.right.channel_back(1).await?;
    c.send(back, sender.json()).await?;
    let sender = b.recv_end(at_middle, "sender").await?;
    let (back, at_first) = chain.left.channel_back(1).await?;
    chain.left.two.send(back, sender.json()).await?;
    let sender = a.recv_end(at_first, "sender").await?;
    a.send(sender, 2).await?;
    a.expect(receiver, 1).await?;
    a.expect(receiver, 2).await?;
    a.tell("drop", sender).await?;
    a.expect_end(receiver).await
}

async fn stream(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (here, other) = a.stream().await?;
    a.write(here, "0102").await?;
    let there = chain.carry(other, "stream").await?;
    a.write(here, "03").await?;
    a.tell("finish", here).await?;
    let got = c.read_all(there).await?;
    if got != "010203" {
        return failed(format!("{got} came in the place of 010203"));
    }
    let all = "61".repeat(200_000);
    let mut writing = c.begin_write(there, &all);
    let finishing = c.begin("finish", there.json());
    let got = a.read_all(here).await?;
    writing.answer().await?;
    c.answer(finishing).await?;
    if got == all { Ok(()) } else { failed(format!("{} bytes of {} came", got.len() / 2, all.len() / 2)) }
}

async fn descriptor(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let payload = "0a".repeat(10_000);
    let fd = end_of(&a.ask("fd", json!({"payload": payload})).await?, "fd")?;
    let there = chain.carry(fd, "fd").await?;
    if c.read_all(there).await? == payload { Ok(()) } else { failed("other bytes came") }
}

async fn copy(chain: &Chain<'_>) -> Done {
    let (a, b, c) = (&chain.left.one, &chain.left.two, &chain.right.two);
    let (from_a, at_middle) = chain.left.channel(2).await?;
    let (middle, at_c) = chain.right.channel(2).await?;
    let arguments =
        json!({"receiver": at_middle.json().field("receiver"), "sender": middle.json().field("sender")});
    let mut copying = b.begin("copy", arguments);
    let (reply, replies) = a.pipe(1).await?;
    a.send(from_a, json!({"map": [["question", "?"], ["reply", reply.json()]]})).await?;
    let value = c.recv(at_c).await?;
    let reply = end_of(value.pointer("/map/1/1").unwrap_or(&Json::Null), "sender")?;
    c.send(reply, "!").await?;
    a.expect(replies, "!").await?;
    a.tell("drop", from_a).await?;
    c.expect_end(at_c).await?;
    copying.answer().await?;
    Ok(())
}

async fn lost(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (reply, replies) = a.pipe(4).await?;
    let reply = chain.carry(reply, "sender").await?;
    c.send(reply, 1).await?;
    a.expect(replies, 1).await?;
    c.abort().await?;
    fails(a.ask("recv", replies.json()).await, &["DISCONNECTED"])?;
    chain.right.one.drop_session().await
}

async fn error_passes(chain: &Chain<'_>) -> Done {
    let (a, b, c) = (&chain.left.one, &chain.left.two, &chain.right.two);
    let (first, at_middle) = chain.left.channel(1).await?;
    let (middle, at_last) = chain.right.channel(1).await?;
    let arguments =
        json!({"receiver": at_middle.json().field("receiver"), "sender": middle.json().field("sender")});
    let _copying = b.begin("copy", arguments);
    let (reply, replies) = a.pipe(1).await?;
    let (input, output) = a.pipe(1).await?;
    a.send(first, json!([reply.json(), output.json()])).await?;
    chain.settle().await?;
    c.tell("close", at_last).await?;
    a.ended_with(replies, NOT_DELIVERED).await?;
    a.refused_with(input, NOT_DELIVERED).await
}

async fn abandoned(chain: &Chain<'_>) -> Done {
    let (a, c) = (&chain.left.one, &chain.right.two);
    let (here, other) = a.stream().await?;
    let there = chain.carry(other, "stream").await?;
    c.write(there, "0102").await?;
    c.tell("drop", there).await?;
    let got = a.read_cut(here, 42).await?;
    if got == "0102" { Ok(()) } else { failed(format!("{got} came in the place of 0102")) }
}
