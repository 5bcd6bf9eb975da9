// Two machines against each other: opening, messages, credit, closing, streams, goodbye, time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Code } from '../src/protocol/codes.js';
import { Machine } from '../src/protocol/machine.js';
import { events, exchange, pair } from './pair.js';

/** Channels and streams that are not finished. */
const open = (machine) => machine.ids.all().length;
/** Everything that a machine counts of them. */
const sums = ({ openedHere, openedThere, ours }) =>
  [openedHere.count, openedHere.bytes, openedThere.count, openedThere.bytes, ours.growth, ours.extra];
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
  rx.want(2);
  exchange(sides);
  // One of the receives that wait has the message that arrived: the other may have one more.
  assert.equal(tx.demand, 1);
  events(dialer);
  const message = rx.take();
  rx.count(1, message.charge);
  exchange(sides);
  assert.deepEqual(events(dialer, 'taken').map((event) => event.value), [1]);
});

test('a large message waits for a receive, has its window raised, and arrives whole', () => {
  const { sides, tx, rx, acceptor } = channel(4, { both: { limits: { initial_window: 2_048, max_frame: 4_096 } } });
  say(tx, 100_000);
  assert.equal(tx.blocked, 'messages');
  exchange(sides);
  assert.equal(acceptor.ours.extra, 0, 'nobody waits for it');
  rx.want(1);
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
  assert.equal(open(dialer), 1);
  rx.count(1, rx.take().charge);
  assert.deepEqual(rx.ended, { scope: 1, code: 300, text: 'enough' });
  exchange(sides);
  assert.equal(open(dialer) + open(acceptor), 0);
  assert.deepEqual([...sums(dialer), ...sums(acceptor)], new Array(12).fill(0));
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
  const { NOT_DELIVERED } = Code;
  assert.deepEqual(reply.closed, { scope: 0, code: NOT_DELIVERED, text: '' });
  assert.deepEqual(inner.cancelled, { scope: 0, code: NOT_DELIVERED, text: '' });
  assert.deepEqual([stream.ended.code, stream.stopped.code], [NOT_DELIVERED, NOT_DELIVERED]);
  tx.close();
  inner.close();
  stream.end();
  exchange(sides);
  assert.equal(open(dialer) + open(acceptor), 0);
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
  assert.equal(open(dialer) + open(acceptor), 0);
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
  assert.equal(open(dialer) + open(acceptor), 0);
  assert.deepEqual([...sums(dialer), ...sums(acceptor)], new Array(12).fill(0));
});

test('goodbye is answered at once; without it the session is lost', () => {
  for (const clean of [true, false]) {
    const { sides, dialer, acceptor, tx, rx } = channel(4);
    say(tx);
    tx.close();
    exchange(sides);
    if (clean) dialer.goodbye();
    exchange(sides);
    dialer.eof();
    acceptor.eof();
    assert.deepEqual([dialer.over.why, acceptor.over.why], clean ? ['closed', 'closed'] : ['lost', 'lost']);
    assert.equal(rx.take().payload.length, 4);
    assert.equal(rx.closed.code, 0, 'what its sender had ended is clean');
  }
});

test('what nobody had ended when the session closed ends as SESSION_CLOSED on both sides, else as DISCONNECTED', () => {
  for (const [close, code] of [[true, Code.SESSION_CLOSED], [false, Code.DISCONNECTED]]) {
    const { sides, dialer, acceptor, tx, rx } = channel(4);
    const stream = dialer.allocateStream();
    say(tx, 1, { attachments: [stream] });
    exchange(sides);
    const theirs = rx.take().attachments[0].end;
    if (close) dialer.goodbye();
    exchange(sides);
    for (const side of [dialer, acceptor]) side.eof();
    assert.deepEqual([tx.cancelled.code, rx.ended.code], [code, code]);
    for (const end of [stream, theirs]) assert.deepEqual([end.ended.code, end.stopped.code], [code, code]);
  }
});

test('ten equal floods, one with a head start, have equal shares, and a lone message waits for one turn', () => {
  const sides = pair();
  const { dialer, acceptor } = sides;
  const ends = Array.from({ length: 11 }, (_, i) => dialer.open(`${i}`, 100_000));
  exchange(sides);
  const rxs = events(acceptor, 'opened').map(({ end }) => end);
  for (const rx of rxs) rx.accept();
  const sizes = [100, 1_000, 10_000, 60_000, 300_000];
  const shares = new Array(10).fill(0);
  const flood = (at) => {
    for (let n = 0; n < 50 && !ends[at].closing && ends[at].blocked === ''; n++) say(ends[at], sizes[at % sizes.length]);
  };
  let late = null;
  for (let round = 0; round < 400; round++) {
    for (let at = 0; at < 10; at++) if (at === 0 || round > 20) flood(at);
    if (round === 200) say(ends[10], 100);
    let written = 0;
    for (const chunk of dialer.output()) {
      written += chunk.length;
      acceptor.input(chunk);
    }
    assert.ok(written < 2 * 65_536 + 300_000);
    rxs.forEach((rx, at) => {
      rx.want(1);
      for (let message; (message = rx.take());) {
        rx.count(1, message.charge);
        if (at < 10 && round > 100) shares[at] += message.charge;
        if (at === 10) late ??= round;
      }
    });
    for (const chunk of acceptor.output()) dialer.input(chunk);
    events(dialer);
    events(acceptor);
  }
  assert.ok(late !== null && late <= 202, `the lone message came in round ${late} of 200`);
  assert.ok(Math.max(...shares) <= 2 * Math.min(...shares), `shares ${shares}`);
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
  const small = pair({ both: { limits: { session_memory: 16_384 } } }).dialer;
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
