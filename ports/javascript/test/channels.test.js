// What a user of channels is promised, in one process and over a session from one source.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  AttachmentInUse, ByteStream, Closed, Decode, Disconnected, Encode, Limit, NotEncoded, NotForwarded, Receiver, Refused,
  Remote, Sender, TooLarge, TooManyAttachments, copy, pipe,
} from '../src/index.js';
import { Code } from '../src/protocol/codes.js';
import { channel, isPending, sessions, settle } from './links.js';

const local = async ({ capacity } = {}) => {
  const [tx, rx] = pipe({ capacity });
  return { tx, rx };
};
/** A pipe whose receiver, or sender, has gone to the other side. */
const travelled = (end) => async ({ capacity } = {}) => {
  const { tx: carrier, rx: arrivals, ...more } = await channel();
  const [tx, rx] = pipe({ capacity });
  await carrier.send(end === 'rx' ? rx : tx);
  const there = await arrivals.recv();
  return end === 'rx' ? { ...more, tx, rx: there } : { ...more, tx: there, rx };
};
/** Through a relay: a receiver that came by one session goes on by another. */
const relayed = async ({ capacity } = {}) => {
  const first = await travelled('rx')({ capacity });
  const second = await channel();
  await second.tx.send(first.rx);
  return { tx: first.tx, rx: await second.rx.recv() };
};

const places = {
  'in one process': local, 'over a session': channel, 'receiver sent away': travelled('rx'),
  'sender sent away': travelled('tx'), relayed,
};

for (const [place, make] of Object.entries(places)) {
  test(`${place}: values arrive in order, then the end`, async () => {
    const { tx, rx } = await make();
    const values = [1, 'two', null, [3], { four: 4 }, Uint8Array.of(5), 2n ** 60n];
    for (const value of values) await tx.send(value);
    tx.close();
    const found = [];
    for await (const value of rx) found.push(value);
    assert.deepEqual(found, values);
    assert.equal(await rx.recv(), undefined);
    await assert.rejects(tx.send(1), Closed);
    assert.ok(tx.isClosed);
  });

  test(`${place}: a capacity of 3 holds 3 that were not taken`, async () => {
    const { tx, rx } = await make({ capacity: 3 });
    for (let i = 0; i < 3; i++) await tx.send(i);
    const fourth = tx.send(3);
    assert.ok(await isPending(fourth));
    assert.equal(await rx.recv(), 0);
    await fourth;
    assert.ok(await isPending(tx.send(4)));
    for (let i = 1; i <= 4; i++) assert.equal(await rx.recv(), i);
  });

  test(`${place}: capacity 0 is a rendezvous`, async () => {
    const { tx, rx } = await make({ capacity: 0 });
    const first = tx.send('a');
    assert.ok(await isPending(first));
    assert.equal(await rx.recv(), 'a');
    await first;
    const received = rx.recv();
    await tx.send('b');
    assert.equal(await received, 'b');
  });

  test(`${place}: the receiver leaves with a reason`, async () => {
    const { tx, rx } = await make({ capacity: 1 });
    await tx.send(1);
    const waits = tx.send({ two: 2 });
    const gone = tx.closed();
    rx.closeWith(7, 'enough');
    const error = await waits.catch((why) => why);
    assert.ok(error instanceof Refused);
    assert.deepEqual([error.code, error.text, error.value], [7, 'enough', { two: 2 }]);
    assert.equal((await gone).code, 7);
    await assert.rejects(tx.send(3), Refused);
  });

  test(`${place}: the sender ends with an error, after what was sent`, async () => {
    const { tx, rx } = await make();
    await tx.send(1);
    tx.closeWith(8, 'broken');
    assert.equal(await rx.recv(), 1);
    await assert.rejects(rx.recv(), (error) => error instanceof Remote && error.code === 8 && error.text === 'broken');
  });

  test(`${place}: dropping ends cleanly, both ways`, async () => {
    const one = await make();
    const clone = one.tx.clone();
    one.tx.drop();
    await clone.send(1);
    clone.drop();
    assert.deepEqual([await one.rx.recv(), await one.rx.recv()], [1, undefined]);
    assert.throws(() => clone.capacity, AttachmentInUse);

    const two = await make();
    two.rx.drop();
    await settle();
    await assert.rejects(two.tx.send(1), (error) => error instanceof Closed && !error.bySender);
  });

  test(`${place}: given up, a receive loses nothing and a send is not sent`, async () => {
    const { tx, rx } = await make({ capacity: 1 });
    const given = new AbortController();
    const received = rx.recv({ signal: given.signal });
    await settle();
    given.abort();
    await assert.rejects(received, { name: 'AbortError' });
    await tx.send(1);
    const again = new AbortController();
    const waits = tx.send(2, { signal: again.signal });
    await settle();
    again.abort();
    await assert.rejects(waits, { name: 'AbortError' });
    tx.close();
    assert.deepEqual([await rx.recv(), await rx.recv()], [1, undefined]);
    await assert.rejects(rx.recv({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  test(`${place}: competing receivers get each message once`, async () => {
    const { tx, rx } = await make({ capacity: 4 });
    const other = rx.clone();
    const found = [];
    const take = async (from) => { for await (const value of from) found.push(value); };
    const done = [take(rx), take(other)];
    for (let i = 0; i < 50; i++) await tx.send(i);
    tx.close();
    await Promise.all(done);
    assert.deepEqual(found.sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
  });
}

for (const [place, make] of Object.entries({ 'over a session': channel, relayed })) {
  test(`${place}: ends and streams in a value, to any depth`, async () => {
    const { tx, rx } = await make();
    const [replies, results] = pipe();
    const [commands, inbox] = pipe({ capacity: 0 });
    const [stream, mine] = ByteStream.pair();
    await tx.send({ deep: [{ replies }, { inbox, stream }] });
    const { deep: [{ replies: there }, { inbox: orders, stream: bytes }] } = await rx.recv();
    assert.ok(there instanceof Sender && orders instanceof Receiver && bytes instanceof ByteStream);
    const sent = commands.send('go');
    assert.equal(await orders.recv(), 'go');
    await sent;
    await mine.write('hello');
    mine.end();
    await bytes.write((await bytes.text()).toUpperCase());
    bytes.end();
    assert.equal(await mine.text(), 'HELLO');
    // An end that came goes back, and works.
    await there.send({ back: there.clone() });
    const { back } = await results.recv();
    await back.send(1);
    assert.equal(await results.recv(), 1);
    back.drop();
    there.drop();
    assert.equal(await results.recv(), undefined);
    await assert.rejects(replies.send(1), AttachmentInUse);
  });

  test(`${place}: an end that is in use travels with what waits in it`, async () => {
    const { tx, rx } = await make();
    const [values, there] = pipe({ capacity: 2 });
    await values.send(1);
    await values.send(2);
    const third = values.send(3);
    await tx.send(there);
    const far = await rx.recv();
    assert.deepEqual([await far.recv(), await far.recv(), await far.recv()], [1, 2, 3]);
    await third;
  });

  test(`${place}: the same end twice is one end with two handles`, async () => {
    const { tx, rx } = await make();
    const [replies, results] = pipe();
    await tx.send([replies, replies, replies.clone ? { again: replies } : null]);
    const [a, b, { again }] = await rx.recv();
    assert.ok(a.isSameChannel(b) && b.isSameChannel(again));
    a.drop();
    b.drop();
    await again.send('still');
    assert.equal(await results.recv(), 'still');
    again.drop();
    assert.equal(await results.recv(), undefined);
  });
}

test('a message that nobody takes ends what it carries with NOT_DELIVERED', async () => {
  const { tx, rx } = await channel();
  const [replies, results] = pipe();
  const [values, there] = pipe();
  const [stream, mine] = ByteStream.pair();
  await tx.send([replies, there, stream]);
  await settle();
  rx.close();
  const { NOT_DELIVERED } = Code;
  await assert.rejects(results.recv(), { name: 'Remote', wireCode: NOT_DELIVERED });
  assert.equal((await values.closed()).wireCode, NOT_DELIVERED);
  await assert.rejects(mine.read(), { name: 'Remote', wireCode: NOT_DELIVERED });
});

test('a call has its reply, or one error that says whether it is safe to ask again', async () => {
  const { tx, rx } = await channel();
  const serve = (async () => {
    for await (const { reply, text } of rx) {
      if (text === 'drop') reply.drop();
      else if (text === 'fail') reply.closeWith(7, 'no such thing');
      else if (text === 'wait') await reply.closed();
      else await reply.send(text.length);
    }
  })();
  const ask = (text, options) => tx.call((reply) => ({ text, reply }), options);
  assert.equal(await ask('four'), 4);
  await assert.rejects(ask('drop'), { name: 'CallError', reason: 'NO_REPLY', isSafeToRetry: false });
  await assert.rejects(ask('fail'), { reason: 'Remote', isSafeToRetry: false });
  // The handler hears of it, or it would not serve the next.
  await assert.rejects(ask('wait', { within: 10 }), { reason: 'TimedOut', isSafeToRetry: false });
  assert.equal(await ask('four again'), 10);
  tx.close();
  await serve;
  const error = await ask('late').catch((why) => why);
  assert.deepEqual([error.reason, error.isSafeToRetry], ['NotSent', true]);
  const refused = await channel();
  const asking = refused.tx.call((reply) => ({ reply }));
  await settle();
  refused.rx.close();
  await assert.rejects(asking, { reason: 'NOT_DELIVERED', isSafeToRetry: true });
  const lost = await channel();
  const waiting = lost.tx.call((reply) => ({ reply }));
  await lost.rx.recv();
  lost.acceptor.abort();
  await assert.rejects(waiting, { reason: 'DISCONNECTED', isSafeToRetry: false });
});

test('what is wrong with a value is said where it is sent, and its ends are good again', async () => {
  const limits = { max_message: 1_000, max_attachments: 2 };
  const { tx, rx } = await channel({ limits });
  const [a, b, c] = [pipe(), pipe(), pipe()];
  const cases = [
    [{ a: a[0], f: () => 1, bad: Symbol('x') }, Encode],
    [{ a: a[0], text: 'x'.repeat(2_000) }, TooLarge],
    [[a[0], b[0], c[0]], TooManyAttachments],
    [{ get bad() { throw new Error('getter'); } }, Encode],
  ];
  for (const [value, type] of cases) {
    const error = await tx.send(value).catch((why) => why);
    assert.ok(error instanceof type, error);
    assert.equal(error.value, value);
  }
  await a[0].send('good');
  assert.equal(await a[1].recv(), 'good');
  await tx.send([a[0]]);
  await assert.rejects(tx.send([a[0]]), AttachmentInUse);
  assert.equal((await rx.recv()).length, 1);
  const [stream] = ByteStream.pair();
  // Its other end is forgotten at some time, which the read hears of.
  stream.read().catch(() => {});

  await assert.rejects(tx.send(stream), AttachmentInUse);
});

test('a value that was accepted before its channel travelled, and does not encode, is one error', async () => {
  const { tx, rx } = await channel();
  const [values, there] = pipe();
  await values.send(Symbol('local only'));
  await values.send('next');
  await tx.send(there);
  const far = await rx.recv();
  await assert.rejects(far.recv(), NotEncoded);
  assert.equal(await far.recv(), 'next');
});

test('a relay that cannot forward a message says so in its place', async () => {
  const { rx: far, tx } = await travelled('rx')();
  const small = await channel({ limits: { max_message: 100 } });
  await small.tx.send(far);
  const end = await small.rx.recv();
  const [replies, results] = pipe();
  await tx.send({ text: 'x'.repeat(500), replies });
  await tx.send('next');
  await assert.rejects(end.recv(), NotForwarded);
  assert.equal(await end.recv(), 'next');
  await assert.rejects(results.recv(), { wireCode: Code.NOT_DELIVERED });
});

test('channels beyond the limit are refused where they are sent', async () => {
  const { tx } = await channel({ limits: { max_channels: 2 } });
  const [a, b] = [pipe(), pipe()];
  const error = await tx.send([a[0], b[0]]).catch((why) => why);
  assert.ok(error instanceof Limit, error);
  await tx.send([a[0]]);
});

test('a lost link is an error, never a clean end', async () => {
  const { tx, rx, dialer, acceptor } = await channel({ capacity: 1 });
  const [replies, results] = pipe();
  const [mine, stream] = ByteStream.pair();
  await tx.send({ replies, stream });
  await rx.recv();
  await tx.send('arrived');
  const waits = tx.send('waits');
  await settle();
  dialer.abort();
  await assert.rejects(waits, Disconnected);
  assert.equal(await rx.recv(), 'arrived');
  await assert.rejects(rx.recv(), Disconnected);
  await assert.rejects(results.recv(), Disconnected);
  await assert.rejects(mine.read(), Disconnected);
  assert.equal((await acceptor.closed).kind, 'Lost');
  assert.equal(await acceptor.accept(), undefined);
});

test('a rendezvous whose link is lost says that its outcome is unknown', async () => {
  const { tx, rx, dialer } = await channel({ capacity: 0 });
  const given = new AbortController();
  const received = rx.recv({ signal: given.signal });
  await settle();
  given.abort();
  await received.catch(() => {});
  const sent = tx.send('x');
  await settle();
  dialer.abort();
  await assert.rejects(sent, (error) => error instanceof Disconnected && error.outcomeUnknown && error.value === 'x');
  await settle();
  await assert.rejects(rx.recv(), Disconnected);
});

test('what a worker has not taken when it leaves goes to another', async () => {
  const { tx: carrier, rx: arrivals } = await channel();
  const [jobs, queue] = pipe({ capacity: 0 });
  await carrier.send([queue.clone()]);
  const [worker] = await arrivals.recv();
  const given = new AbortController();
  const asked = worker.recv({ signal: given.signal });
  await settle();
  given.abort();
  await asked.catch(() => {});
  // The worker has asked, so the job goes there; but it takes it no more.
  const [replies, results] = pipe();
  const sent = jobs.send({ replies });
  await settle();
  const here = queue.recv();
  worker.drop();
  const job = await here;
  await sent;
  await job.replies.send('done here');
  assert.equal(await results.recv(), 'done here');
});

test('a message that does not decode is one error; the next is unharmed', async () => {
  const { dialer, tx, rx } = await channel();
  const [replies, results] = pipe();
  await tx.send({ replies });
  // A payload that is cut short, by hand.
  const [leg] = dialer.legs;
  leg.end.send({ codec: 1, payload: Uint8Array.of(0x92, 0x01) });
  leg.end.send({ codec: 77, payload: Uint8Array.of(1) });
  await tx.send('next');
  (await rx.recv()).replies.drop();
  await assert.rejects(rx.recv(), Decode);
  await assert.rejects(rx.recv(), Decode);
  assert.equal(await rx.recv(), 'next');
  assert.equal(await results.recv(), undefined);
});

test('copy forwards without decoding, with what is attached and how it ends', async () => {
  const from = await channel();
  const to = await channel({ capacity: 2 });
  const copied = copy(from.rx, to.tx);
  const [replies, results] = pipe();
  await from.tx.send({ replies });
  for (let i = 0; i < 10; i++) void from.tx.send(i);
  const first = await to.rx.recv();
  await first.replies.send('through');
  assert.equal(await results.recv(), 'through');
  for (let i = 0; i < 10; i++) assert.equal(await to.rx.recv(), i);
  from.tx.closeWith(3, 'over');
  await assert.rejects(copied, Remote);
  await assert.rejects(to.rx.recv(), (error) => error instanceof Remote && error.code === 3);
});

test('a relay does not add to the capacity', async () => {
  const { tx, rx } = await relayed({ capacity: 2 });
  await tx.send(1);
  await tx.send(2);
  await settle();
  assert.ok(await isPending(tx.send(3)));
  assert.equal(await rx.recv(), 1);
});

test('a large message, and many small ones, arrive whole in any cut of the bytes', async () => {
  const cut = (chunk) => {
    const parts = [];
    for (let at = 0; at < chunk.length; at += 997) parts.push(chunk.subarray(at, at + 997));
    return parts;
  };
  const { tx, rx } = await channel({ cut });
  const large = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251);
  void tx.send(large);
  for (let i = 0; i < 200; i++) void tx.send(i);
  assert.deepEqual(await rx.recv(), large);
  for (let i = 0; i < 200; i++) assert.equal(await rx.recv(), i);
});

test('an unread channel and a stalled stream delay no other channel', async () => {
  const { dialer, acceptor, tx, rx } = await channel({ capacity: 1_000 });
  const [mine, stream] = ByteStream.pair();
  await tx.send(stream);
  const stalled = await rx.recv();
  void mine.write(new Uint8Array(10_000_000)).catch(() => {});
  for (let i = 0; i < 900; i++) await tx.send('x'.repeat(1_000));
  const other = dialer.open('other');
  const there = (await acceptor.accept()).receive();
  for (let i = 0; i < 100; i++) {
    await other.send(i);
    assert.equal(await there.recv(), i);
  }
  stalled.close();
});

test('closing a session sends what was accepted; what its sender had not ended is SessionClosed', async () => {
  const { dialer, acceptor, tx, rx } = await channel();
  for (let i = 0; i < 20; i++) await tx.send(i);
  const closed = dialer.close();
  for (let i = 0; i < 20; i++) assert.equal(await rx.recv(), i);
  await assert.rejects(rx.recv(), { name: 'SessionClosed' });
  await closed;
  assert.deepEqual([await dialer.closed, await acceptor.closed], [undefined, undefined]);
  await assert.rejects(tx.send(1));
  assert.throws(() => dialer.open('late'), { name: 'SessionOver' });
});

test('a session is closed with an error', async () => {
  const { dialer, acceptor, rx } = await channel();
  await acceptor.closeWith(5, 'maintenance');
  const error = await dialer.closed;
  assert.deepEqual([error.kind, error.wireCode], ['PeerClosed', 261]);
  assert.match(error.message, /maintenance/);
  await assert.rejects(rx.recv(), Disconnected);
});

test('a named channel is refused, and names and metadata arrive', async () => {
  const [dialer, acceptor] = await sessions({ dialer: { metadata: { token: 'secret' } } });
  assert.equal(acceptor.metadata.text('token'), 'secret');
  const tx = dialer.open('nobody', { metadata: { why: 'test' } });
  const incoming = await acceptor.accept();
  assert.deepEqual([incoming.name, incoming.metadata.text('why'), incoming.capacity], ['nobody', 'test', 64]);
  incoming.refuse(4, 'not here');
  const error = await tx.closed();
  assert.deepEqual([error.code, error.text], [4, 'not here']);
  assert.throws(() => incoming.receive(), { name: 'SessionOver' });
  assert.throws(() => dialer.open('x'.repeat(70_000)), { name: 'NameTooLong' });
  assert.throws(() => dialer.open('x', { capacity: -1 }), RangeError);
});

test('nothing is left of channels and streams that have ended', async () => {
  const { dialer, acceptor, tx, rx } = await channel();
  for (let i = 0; i < 100; i++) {
    const [replies, results] = pipe();
    const [stream, mine] = ByteStream.pair();
    await tx.send({ replies, stream });
    const job = await rx.recv();
    await job.replies.send(1);
    job.replies.drop();
    job.stream.close();
    mine.close();
    assert.equal(await results.recv(), 1);
    assert.equal(await results.recv(), undefined);
  }
  tx.close();
  assert.equal(await rx.recv(), undefined);
  await settle();
  for (const session of [dialer, acceptor]) {
    assert.equal(session.machine.ids.all().length, 0);
    assert.equal(session.legs.size + session.streams.size, 0);
    const { ours, openedHere, openedThere } = session.machine;
    assert.deepEqual([openedHere.bytes, openedThere.bytes, ours.growth, ours.extra], [0, 0, 0, 0]);
  }
});
