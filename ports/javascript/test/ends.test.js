// How ends end that nobody has ended: forgotten, dropped, left behind by a session; and what several senders say together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { ByteStream, Closed, SessionClosed, oneshot, pipe } from '../src/index.js';
import { Code } from '../src/protocol/codes.js';
import { channel, sessions, settle } from './links.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** Has the garbage collector run until a promise is settled; that it settles is what is tested. */
async function collected(promise) {
  const done = promise.then((value) => ({ value }), (error) => ({ error }));
  for (let rounds = 0; rounds < 200; rounds++) {
    collect();
    await settle();
    const outcome = await Promise.race([done, Promise.resolve(null)]);
    if (outcome) return outcome;
  }
  throw new Error('the garbage collector has found nothing');
}

/** Writes until that fails: what lies between hears of the end with a write of its own. */
async function writeOn(stream) {
  for (;;) {
    await stream.write(new Uint8Array(1_000));
    await settle();
  }
}

const abandoned = { wireCode: Code.ABANDONED };

test('a handle that is forgotten never ends cleanly', async () => {
  const { tx, rx } = await channel();
  // In functions of their own, so that nothing here holds what they made.
  const results = await (async () => {
    const [reply, answers] = pipe();
    await tx.send({ reply });
    await rx.recv();
    return answers;
  })();
  const { error } = await collected(results.recv());
  assert.deepEqual([error?.name, error?.wireCode], ['Remote', Code.ABANDONED]);

  const inputs = await (async () => {
    const [input, values] = pipe();
    await tx.send({ values });
    await rx.recv();
    return input;
  })();
  assert.equal((await collected(inputs.closed())).value.wireCode, Code.ABANDONED);

  const there = await (async () => {
    const [mine, other] = ByteStream.pair();
    await tx.send(other);
    const got = await rx.recv();
    await got.write('half of it');
    return mine;
  })();
  const read = (async () => {
    const parts = [];
    for await (const part of there) parts.push(...part);
    return parts;
  })();
  assert.equal((await collected(read)).error?.wireCode, Code.ABANDONED);
  // Nobody reads it either, and that is no clean end.
  await assert.rejects(writeOn(there), abandoned);

  const local = (() => pipe()[1])();
  assert.equal((await collected(local.recv())).error?.wireCode, Code.ABANDONED);
});

test('a stream ends cleanly by end() alone, behind what was written', async () => {
  for (const end of [true, false]) {
    const { tx, rx } = await channel();
    const [mine, other] = ByteStream.pair();
    await tx.send(other);
    const there = await rx.recv();
    await there.write('abc');
    if (end) there.end();
    there.close();
    assert.equal(Buffer.from(await mine.read()).toString(), 'abc');
    if (end) assert.equal(await mine.read(), null);
    else await assert.rejects(mine.read(), abandoned);
  }
});

test('a fault of one of several senders sticks: the channel ends with the first, behind everything', async () => {
  const { tx: carrier, rx: arrivals, dialer } = await channel();
  const lost = await channel();
  const [tx, rx] = pipe();
  await carrier.send(tx.clone());
  await lost.tx.send(tx.clone());
  const [there, far] = [await arrivals.recv(), await lost.rx.recv()];
  await far.send('from the one whose link is lost');
  await settle();
  lost.acceptor.abort();
  await settle();
  await there.send('from the one that goes on');
  there.drop();
  tx.drop();
  assert.equal(await rx.recv(), 'from the one whose link is lost');
  assert.equal(await rx.recv(), 'from the one that goes on');
  await assert.rejects(rx.recv(), { name: 'Disconnected' });
  await dialer.close();
});

test('a session that closes says what was taken: the rest is not delivered', async () => {
  const { tx, rx, acceptor } = await channel();
  const asked = [0, 1].map((n) => tx.call((reply) => ({ n, reply })).catch((error) => error));
  const { n } = await rx.recv();
  await settle();
  await acceptor.close();
  const errors = await Promise.all(asked);
  assert.equal(n, 0);
  assert.deepEqual(errors.map(({ reason, isSafeToRetry }) => [reason, isSafeToRetry]),
    [['SESSION_CLOSED', false], ['NOT_DELIVERED', true]]);
  await assert.rejects(rx.recv(), { name: 'SessionClosed' }, 'nor is it a clean end for the side that has left');
});

test('a rendezvous that had left and was not taken when the receiver closed its session was not taken', async () => {
  const { tx, rx, dialer, acceptor } = await channel({ capacity: 0 });
  const given = new AbortController();
  const received = rx.recv({ signal: given.signal });
  await settle();
  given.abort();
  await received.catch(() => {});
  const sent = tx.send('x').catch((error) => error);
  await settle();
  assert.equal(dialer.machine.ids.all()[0].sent, 1, 'it has left');
  await acceptor.close();
  const error = await sent;
  assert.ok(error instanceof SessionClosed, error);
  assert.deepEqual([error.outcomeUnknown, error.value], [false, 'x']);
});

test('messages with many ends that wait for their channel to travel never pass the byte credit', async () => {
  const { tx: carrier, rx: arrivals, dialer, acceptor } = await channel();
  const [tx, rx] = pipe();
  const answers = [];
  for (let n = 0; n < 20; n++) {
    const pairs = Array.from({ length: 60 }, () => pipe());
    answers.push(...pairs.map(([, answer]) => answer));
    await tx.send({ n, pad: 'x'.repeat(100), replies: pairs.map(([reply]) => reply) });
  }
  tx.close();
  await carrier.send(rx);
  const there = await arrivals.recv();
  await settle();
  for (const { machine } of [dialer, acceptor]) assert.equal(machine.over, null);
  for (let n = 0; n < 20; n++) {
    const got = await there.recv();
    assert.equal(got.n, n);
    for (const reply of got.replies) reply.drop();
  }
  assert.equal(await there.recv(), undefined);
  for (const answer of answers) assert.equal(await answer.recv(), undefined);
});

test('a relay of a stream tells why it is not read any more', async () => {
  const [first, second] = [await channel(), await channel()];
  const [mine, other] = ByteStream.pair();
  await first.tx.send(other);
  await second.tx.send(await first.rx.recv());
  const far = await second.rx.recv();
  await mine.write('a');
  assert.equal((await far.read()).length, 1);
  second.acceptor.abort();
  await settle();
  // The relay hears of it with its next write.
  await assert.rejects(writeOn(mine), { name: 'Disconnected' });
});

test('a oneshot without a value has no reply, however cleanly it ended, and takes one value', async () => {
  const [gone, nothing] = oneshot();
  gone.drop();
  await assert.rejects(nothing.value(), { name: 'CallError', reason: 'NO_REPLY', isSafeToRetry: false });
  const [reply, answer] = oneshot();
  await reply.send(1);
  assert.equal(await answer.value(), 1);
  assert.ok(await reply.closed() instanceof Closed);
});

test('a call that is given up cancels, and says so', async () => {
  const [dialer, acceptor] = await sessions();
  const jobs = dialer.open('jobs');
  const served = acceptor.accept().then((incoming) => incoming.receive());
  const given = new AbortController();
  const asked = jobs.call((reply) => ({ reply }), { signal: given.signal }).catch((error) => error);
  const { reply } = await (await served).recv();
  given.abort();
  const error = await asked;
  assert.deepEqual([error.reason, error.isSafeToRetry], ['Aborted', false]);
  assert.ok(await reply.closed() instanceof Closed);
});

test('what a worker that leaves says of the ends in a job that goes to another is not passed on', async () => {
  const [one, two] = [await channel(), await channel()];
  const [jobs, queue] = pipe();
  for (const { tx } of [one, two]) await tx.send(queue.clone());
  queue.drop();
  const [first, second] = [await one.rx.recv(), await two.rx.recv()];
  // The first asks, and gives up with a job on its way to it.
  const given = new AbortController();
  const asked = first.recv({ signal: given.signal }).catch(() => 'given up');
  await settle();
  given.abort();
  assert.equal(await asked, 'given up');
  const [reply, answers] = pipe();
  await jobs.send({ reply });
  await settle();
  await one.acceptor.close();
  const job = await second.recv();
  await job.reply.send('done');
  job.reply.drop();
  assert.equal(await answers.recv(), 'done');
  assert.equal(await answers.recv(), undefined);
});
