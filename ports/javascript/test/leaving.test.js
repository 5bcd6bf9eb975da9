// How a session is left: flushed, drained, closed with or without something left behind.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ByteStream, pipe } from '../src/index.js';
import { Code } from '../src/protocol/codes.js';
import { channel, isPending, sessions, settle } from './links.js';

const going = { name: 'Refused', wireCode: Code.GOING_AWAY };

// ---- flush

test('flush: what was accepted is at the peer', async () => {
  const { tx, rx, dialer } = await channel();
  for (let n = 0; n < 20; n++) await tx.send(n);
  await dialer.flush();
  // Nothing more can leave: the peer has it, and loses nothing with the link.
  dialer.abort();
  for (let n = 0; n < 20; n++) assert.equal(await rx.recv(), n);
});

test('flush waits for credit, of channels and of streams', async () => {
  const { tx, rx, dialer } = await channel();
  for (let n = 0; n < 3; n++) await tx.send(new Uint8Array(40_000));
  const flushed = dialer.flush();
  assert.ok(await isPending(flushed));
  for (let n = 0; n < 3; n++) await rx.recv();
  await flushed;

  const [mine, other] = ByteStream.pair();
  await tx.send(other);
  await mine.write(new Uint8Array(60_000));
  const written = dialer.flush();
  assert.ok(await isPending(written));
  const there = await rx.recv();
  for (let left = 60_000; left > 0;) left -= (await there.read()).length;
  await written;
});

test('flush does not wait for what goes to another', async () => {
  const { tx, rx, dialer } = await channel();
  const [jobs, inbox] = pipe();
  await tx.send(inbox.clone());
  await rx.recv();
  await jobs.send('nobody there has asked');
  await dialer.flush();
  const closed = dialer.close();
  assert.equal(await closed, undefined);
  assert.equal(await inbox.recv(), 'nobody there has asked');
});

test('many flushes need few pings', async () => {
  const local = { max_pings: 4 };
  const { dialer } = await channel({ local });
  await Promise.all(Array.from({ length: 50 }, () => dialer.flush()));
  assert.ok(dialer.machine.clock.number <= 2);
});

test('flush of a session that is over', async () => {
  const { tx, dialer, acceptor } = await channel();
  await tx.send(new Uint8Array(100_000));
  const flushed = dialer.flush();
  assert.ok(await isPending(flushed));
  acceptor.abort();
  await assert.rejects(flushed, { name: 'SessionError', kind: 'Lost' });
  await assert.rejects(dialer.flush(), { name: 'SessionError' });
});

// ---- drain

test('a drain takes no more requests, lets those at work finish, and closes', async () => {
  const { tx, rx, dialer, acceptor } = await channel();
  const calls = [0, 1].map((n) => tx.call((reply) => ({ n, reply })).catch((error) => error));
  const { reply } = await rx.recv();
  await settle();
  const drained = acceptor.drain({ within: 10_000 });
  await dialer.going;
  // What nobody had taken comes back, and may be asked again elsewhere.
  const back = await calls[1];
  assert.deepEqual([back.reason, back.isSafeToRetry], ['NOT_DELIVERED', true]);
  const late = await tx.call((again) => ({ n: 2, reply: again })).catch((error) => error);
  assert.deepEqual([late.reason, late.isSafeToRetry], ['NotSent', true]);
  await assert.rejects(tx.send(3), going);
  const other = dialer.open('other');
  await settle();
  await assert.rejects(other.send(1), going);
  assert.equal(await acceptor.accept(), undefined);
  assert.equal(await rx.recv(), undefined);
  assert.ok(await isPending(drained));
  // What was taken is answered.
  await reply.send('answered');
  assert.equal(await calls[0], 'answered');
  assert.equal(await drained, undefined);
  assert.equal(await dialer.closed, undefined);
});

test('a channel that waits to be accepted is refused by a drain', async () => {
  const [dialer, acceptor] = await sessions();
  const accepting = acceptor.accept();
  const [first, second] = [dialer.open('first'), dialer.open('second')];
  const incoming = await accepting;
  await settle();
  const waiting = acceptor.accept();
  assert.equal((await waiting).name, 'second');
  const third = dialer.open('third');
  await settle();
  const drained = acceptor.drain({ within: 10_000 });
  for (const tx of [first, second, third]) assert.equal((await tx.closed()).wireCode, Code.GOING_AWAY);
  assert.equal(await incoming.receive().recv(), undefined);
  assert.equal(await drained, undefined);
});

test('who waits for a channel of a session that drains hears that none comes', async () => {
  const [dialer, acceptor] = await sessions();
  const waiting = acceptor.accept();
  const drained = acceptor.drain({ within: 10_000 });
  assert.equal(await waiting, undefined);
  await drained;
  await dialer.going;
});

test('a drain ends at its deadline', async () => {
  const { tx, rx, acceptor } = await channel();
  const call = tx.call((reply) => ({ reply })).catch((error) => error);
  await rx.recv();
  await acceptor.drain({ within: 0 });
  const { reason, isSafeToRetry } = await call;
  assert.deepEqual([reason, isSafeToRetry], ['SESSION_CLOSED', false]);
});

test('a drain needs its deadline', async () => {
  const { acceptor } = await channel();
  for (const options of [{}, { within: -1 }, { within: 'soon' }]) await assert.rejects(acceptor.drain(options), RangeError);
  await acceptor.close();
});

test('a drain while the other side drains', async () => {
  const [dialer, acceptor] = await sessions();
  assert.deepEqual(await Promise.all([dialer.drain({ within: 10_000 }), acceptor.drain({ within: 10_000 })]), [undefined, undefined]);
});

// ---- close

test('close says what was left behind', async () => {
  const { tx, rx, dialer } = await channel({ dialer: { closeTimeout: 20 } });
  for (let n = 0; n < 3; n++) await tx.send(new Uint8Array(40_000));
  const error = await dialer.close();
  assert.deepEqual([error?.name, error?.kind], ['SessionError', 'Incomplete']);
  assert.equal(await dialer.closed, error);
  await assert.rejects(rx.recv(), { name: 'SessionClosed' });
});

test('who is left by its peer hears what was left behind', async () => {
  const { tx, rx, dialer, acceptor } = await channel();
  for (let n = 0; n < 3; n++) await tx.send(new Uint8Array(40_000));
  await settle();
  await acceptor.close();
  assert.equal((await dialer.closed)?.kind, 'Incomplete');
  rx.drop();
});

test('close sends what a stream of this process has taken', async () => {
  const { tx, rx, dialer } = await channel();
  const [mine, other] = ByteStream.pair();
  // It was read here before it travels.
  await mine.write('before');
  await other.read();
  await tx.send(other);
  const there = await rx.recv();
  await mine.write(new Uint8Array(90_000).fill(1));
  mine.end();
  const closed = dialer.close();
  assert.equal((await there.bytes()).length, 90_000);
  there.close();
  assert.equal(await closed, undefined);
});

test('a stream that was read here before it travels does not hold up a close', async () => {
  const { tx, rx, dialer } = await channel();
  const [mine, other] = ByteStream.pair();
  await mine.write('read here');
  await other.read();
  await tx.send(other);
  await rx.recv();
  assert.equal(await dialer.close(), undefined);
});
