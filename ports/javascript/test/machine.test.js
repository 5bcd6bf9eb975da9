// Two machines against each other: opening, messages, credit, closing, streams, goodbye, time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Code } from '../src/protocol/codes.js';
import { Machine } from '../src/protocol/machine.js';
import { events, exchange, pair } from './pair.js';

const bytes = (length, fill = 7) => new Uint8Array(length).fill(fill);
const say = (end, length = 4, more = {}) => end.send({ codec: 0, payload: bytes(length), ...more });

/** A pair with a named channel open: `tx` at the dialer, `rx` at the acceptor. */
function channel(capacity = 4, options = {}) {
  const sides = pair(options);
  const tx = sides.dialer.open('jobs', capacity);
  exchange(sides);
  const rx = events(sides.acceptor, 'opened')[0].end;
  rx.accept();
  return { ...sides, sides, tx, rx };
}

test('hellos agree on the smaller limits and the dialer\'s order of codecs', () => {
  const { dialer, acceptor } = pair({
    dialer: { codecs: [2, 1, 0], limits: { max_frame: 8_192 } },
    acceptor: { codecs: [1, 2], limits: { max_channels: 7, session_memory: 4_096 } },
  });
  for (const side of [dialer, acceptor]) {
    assert.equal(side.limits.max_frame, 8_192);
    assert.equal(side.limits.max_channels, 7);
    assert.equal(side.limits.max_message, 1_024);
    assert.deepEqual(side.codecs, [2, 1]);
  }
});

test('bytes may be cut anywhere', () => {
  const dialer = new Machine({ role: 'dialer' });
  const acceptor = new Machine({ role: 'acceptor' });
  const feed = (from, to) => from.output().forEach((chunk) => chunk.forEach((byte) => to.input(Uint8Array.of(byte))));
  feed(acceptor, dialer);
  const tx = dialer.open('jobs', 3);
  say(tx, 100);
  feed(dialer, acceptor);
  const rx = events(acceptor, 'opened')[0].end;
  assert.equal(rx.take().payload.length, 100);
});

test('a channel of capacity n holds n messages', () => {
  const { sides, tx, rx } = channel(4);
  for (let i = 0; i < 4; i++) say(tx);
  assert.equal(tx.blocked, 'messages');
  exchange(sides);
  const message = rx.take();
  rx.count(1, message.charge);
  exchange(sides);
  assert.equal(tx.blocked, '');
  assert.equal(tx.untaken, 3);
});

test('a rendezvous sends only to a receive that waits, and tells of the take', () => {
  const { sides, dialer, tx, rx } = channel(0);
  assert.equal(tx.blocked, 'messages');
  rx.want(1);
  exchange(sides);
  say(tx);
  assert.equal(tx.blocked, 'messages');
  exchange(sides);
  assert.equal(tx.demand, 0);
  rx.want(1);
  exchange(sides);
  // The one that arrived is not another receive that waits.
  assert.equal(tx.demand, 1);
  events(dialer);
  const message = rx.take();
  rx.count(1, message.charge);
  exchange(sides);
  assert.deepEqual(events(dialer, 'taken').map((event) => event.value), [1]);
});

test('a large message is announced, granted, and arrives whole', () => {
  const { sides, tx, rx, acceptor } = channel(4, { both: { limits: { initial_window: 2_048, max_frame: 4_096 } } });
  say(tx, 100_000);
  assert.equal(tx.blocked, 'messages');
  exchange(sides);
  const message = rx.take();
  assert.equal(message.payload.length, 100_000);
  assert.ok(message.payload.every((byte) => byte === 7));
  assert.ok(acceptor.ours.extra > 0);
  rx.count(1, message.charge);
  exchange(sides);
  assert.equal(acceptor.ours.extra, 0);
  assert.equal(tx.blocked, '');
});

test('an unread large message does not delay a channel that is read', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4, { both: { limits: { session_memory: 400_000 } } });
  const other = dialer.open('other', 4);
  exchange(sides);
  const [{ end: read }] = events(acceptor, 'opened');
  for (let i = 0; i < 4; i++) if (!tx.blocked) say(tx, 90_000);
  exchange(sides);
  read.want(1);
  say(other, 90_000);
  exchange(sides);
  assert.equal(read.take()?.payload.length, 90_000);
  assert.equal(rx.take(), undefined);
});

test('closing: what was sent arrives first, then the end; both sides forget the id', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  say(tx);
  tx.close({ scope: 1, code: 300, text: 'enough' });
  exchange(sides);
  assert.equal(dialer.ids.open, 1);
  rx.count(1, rx.take().charge);
  assert.deepEqual(rx.ended, { scope: 1, code: 300, text: 'enough' });
  exchange(sides);
  assert.equal(dialer.ids.open + acceptor.ids.open, 0);
  assert.equal(dialer.theirs.base + acceptor.ours.base, 0);
  assert.equal(dialer.open('again', 1).id, tx.id);
});

test('cancelling: what was on the way is dropped and what it carries is closed', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  const reply = dialer.allocateReceiver(8);
  const inner = dialer.allocateSender(8);
  const stream = dialer.allocateStream();
  say(tx, 4, { attachments: [reply, inner, stream] });
  exchange(sides);
  rx.cancel({ scope: 1, code: 301, text: 'no' });
  exchange(sides);
  assert.deepEqual(tx.cancelled, { scope: 1, code: 301, text: 'no' });
  assert.deepEqual(reply.closed, { scope: 0, code: 0, text: '' });
  assert.deepEqual(inner.cancelled, { scope: 0, code: 0, text: '' });
  assert.deepEqual([stream.ended.code, stream.stopped.code], [0, 0]);
  tx.close();
  inner.close();
  stream.end();
  exchange(sides);
  assert.equal(dialer.ids.open + acceptor.ids.open, 0);
});

test('nested channels: messages that hold channels that hold messages are closed without recursion', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  let at = tx;
  for (let depth = 0; depth < 20_000; depth++) {
    const next = dialer.allocateSender(4);
    say(at, 1, { attachments: [next] });
    at = next;
  }
  exchange(sides);
  rx.cancel();
  exchange(sides);
  assert.equal(acceptor.over, null);
  for (const end of dialer.ids.all()) end.close();
  exchange(sides);
  assert.equal(dialer.ids.open + acceptor.ids.open, 0);
});

test('a sender comes home and holds the channel open', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  const back = acceptor.open('back', 4);
  exchange(sides);
  const [{ end: there }] = events(dialer, 'opened');
  // The acceptor gives the dialer a sender; the dialer sends it home.
  const mine = acceptor.allocateReceiver(4);
  say(back, 1, { attachments: [mine] });
  exchange(sides);
  const sender = there.take().attachments[0].end;
  say(tx, 1, { attachments: [{ home: sender }] });
  sender.close();
  exchange(sides);
  const { kind, end } = rx.take().attachments[0];
  assert.deepEqual([kind, end], [5, mine]);
  assert.equal(mine.ended, null);
  end.releaseHold();
  assert.equal(mine.ended.code, 0);
});

test('a stream carries bytes both ways by credit, and half-closes', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4, { both: { limits: { stream_window: 1_000 } } });
  const mine = dialer.allocateStream();
  say(tx, 1, { attachments: [mine] });
  exchange(sides);
  const theirs = rx.take().attachments[0].end;
  // All of it is kept, and as much sent as there is credit for.
  assert.equal(mine.write(bytes(5_000)), 5_000);
  exchange(sides);
  assert.equal(theirs.window.held, 1_000);
  assert.equal(mine.write(bytes(100_000)), 65_536 - 4_000);
  assert.equal(mine.write(bytes(1)), 0);
  let total = 0;
  for (let part; (part = theirs.read(400)); exchange(sides)) total += part.length;
  assert.equal(total, 5_000 + 65_536 - 4_000);
  mine.end();
  theirs.write(bytes(3));
  theirs.end();
  exchange(sides);
  while (theirs.read());
  assert.equal(mine.read().length, 3);
  assert.deepEqual([mine.ended.code, theirs.ended.code], [0, 0]);
  exchange(sides);
  tx.close();
  rx.count(1, 49);
  exchange(sides);
  assert.equal(dialer.ids.open + acceptor.ids.open, 0);
  assert.equal(acceptor.ours.base + acceptor.theirs.base + dialer.ours.base + dialer.theirs.base, 0);
});

test('goodbye both ways is a clean end; without it the session is lost', () => {
  for (const clean of [true, false]) {
    const { sides, dialer, acceptor, tx, rx } = channel(4);
    say(tx);
    tx.close();
    dialer.goodbye();
    exchange(sides);
    if (clean) acceptor.goodbye();
    exchange(sides);
    dialer.eof();
    acceptor.eof();
    assert.equal(dialer.over.why, clean ? 'closed' : 'lost');
    assert.equal(rx.take().payload.length, 4);
    assert.equal(rx.closed.code, 0);
  }
});

test('a channel that was not closed when goodbye was said ends as disconnected', () => {
  const { sides, dialer, rx } = channel(4);
  dialer.goodbye();
  exchange(sides);
  assert.equal(rx.ended.code, Code.DISCONNECTED);
});

test('time: hello deadline, ping, silence', () => {
  const late = new Machine({ role: 'dialer' });
  late.tick(9_999);
  assert.equal(late.over, null);
  late.tick(10_000);
  assert.equal(late.over.code, Code.HELLO_TIMEOUT);

  const sides = pair();
  const { dialer, acceptor } = sides;
  dialer.tick(5_000);
  dialer.tick(20_000);
  exchange(sides);
  dialer.tick(40_000);
  // The pong was heard by the look at 40 s.
  dialer.tick(84_999);
  assert.equal(dialer.over, null);
  dialer.tick(85_000);
  assert.equal(dialer.over.code, Code.PEER_SILENT);
  exchange(sides);
  assert.deepEqual(acceptor.over.why, 'peer');
});

test('limits: what would pass one is refused before anything is sent', () => {
  const { dialer } = pair({ both: { limits: { max_channels: 2 } } });
  dialer.open('a', 1);
  dialer.open('b', 1);
  assert.throws(() => dialer.open('c', 1), { code: Code.TOO_MANY_CHANNELS });
  const small = pair({ both: { limits: { session_memory: 8_192 } } }).dialer;
  small.open('a', 1);
  small.open('b', 1);
  assert.throws(() => small.open('c', 1), { code: Code.MEMORY });
});

test('more named channels than may wait are refused', () => {
  const { sides, dialer, tx } = channel(1, { acceptor: { limits: { max_pending_accepts: 1 } } });
  const second = dialer.open('waits', 1);
  const third = dialer.open('refused', 1);
  exchange(sides);
  assert.equal(tx.cancelled, null);
  assert.equal(second.cancelled, null);
  assert.equal(third.cancelled.code, Code.ACCEPT_QUEUE_FULL);
});
