// Two machines against each other: opening, messages, credit, closing, streams, goodbye, time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Code } from '../src/protocol/codes.js';
import { encodeFrame } from '../src/protocol/frames.js';
import { Machine } from '../src/protocol/machine.js';
import { TURN } from '../src/protocol/turns.js';
import { events, exchange, pair } from './pair.js';

const bytes = (length, fill = 7) => new Uint8Array(length).fill(fill);
const say = (end, length = 4, more = {}) => end.send({ codec: 0, payload: bytes(length), ...more });

/** Neither side knows of a channel or stream, and neither counts one. */
function assertNothingLeft(...machines) {
  for (const { ids, openedHere, openedThere, ours } of machines) {
    assert.equal(ids.all().length, 0);
    const sums = [openedHere.count, openedHere.bytes, openedThere.count, openedThere.bytes, ours.growth, ours.extra];
    assert.deepEqual(sums, [0, 0, 0, 0, 0, 0]);
  }
}

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
  // One of the two that wait gets what has arrived.
  assert.equal(tx.demand, 1);
  events(dialer);
  const message = rx.take();
  rx.count(1, message.charge);
  exchange(sides);
  assert.deepEqual(events(dialer, 'taken').map((event) => event.value), [1]);
});

test('a large message is cut, waits for a receive, and arrives whole', () => {
  const { sides, tx, rx, acceptor } = channel(4, { both: { limits: { initial_window: 2_048, max_frame: 4_096 } } });
  say(tx, 100_000);
  assert.equal(tx.blocked, 'messages');
  exchange(sides);
  assert.equal(rx.take(), undefined, 'no receive waits, so no memory is set aside');
  assert.equal(acceptor.ours.extra, 0);
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

test('large messages are served in turn, and who leaves the line lets the next one in', () => {
  const leaves = {
    'a receive that is given up': ({ rx }) => rx.want(0),
    'CANCEL': ({ rx }) => rx.cancel(),
    'a CLOSE that cuts': ({ rx }) => rx.onClose({ scope: 0, code: 300, text: '' }),
  };
  for (const [how, leave] of Object.entries(leaves)) {
    // Memory for large messages is 100,000 bytes: not for the second beside the first, but for the third.
    const sides = pair({ both: { limits: { session_memory: 400_000 }, local: { max_window: 2_048 } } });
    const { dialer, acceptor } = sides;
    const all = [59_000, 58_000, 20_000].map((size) => {
      const tx = dialer.open(`${size}`, 4);
      exchange(sides);
      const rx = events(acceptor, 'opened')[0].end;
      rx.accept();
      say(tx, size);
      return rx;
    });
    const added = () => all.map(({ window }) => window.extra > 0);
    for (const chunk of dialer.output()) acceptor.input(chunk);
    for (const rx of all) rx.want(1);
    assert.deepEqual(added(), [true, false, false], 'the third does not pass the second');
    leave({ rx: all[1] });
    assert.deepEqual(added(), [true, false, true], how);
    assert.equal(acceptor.awaited.size, 0, how);
  }
});

test('closing: what was sent arrives first, then the end; both sides forget the id', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  say(tx);
  tx.close({ scope: 1, code: 300, text: 'enough' });
  exchange(sides);
  assert.equal(dialer.ids.all().length, 1);
  rx.count(1, rx.take().charge);
  assert.deepEqual(rx.ended, { scope: 1, code: 300, text: 'enough' });
  exchange(sides);
  assertNothingLeft(dialer, acceptor);
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
  const unread = { scope: 0, code: Code.NOT_DELIVERED, text: '' };
  assert.deepEqual(reply.closed, unread);
  assert.deepEqual(inner.cancelled, unread);
  assert.deepEqual([stream.ended.code, stream.stopped.code], [Code.NOT_DELIVERED, Code.NOT_DELIVERED]);
  // The sending ends have answered by themselves; the receiving one waits for its application.
  reply.cancel();
  tx.close();
  inner.close();
  stream.end();
  exchange(sides);
  assertNothingLeft(dialer, acceptor);
});

test('nested channels: messages that hold channels that hold messages are closed without recursion', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  let at = tx;
  for (let depth = 0; depth < 20_000; depth++) {
    const next = dialer.allocateSender(4);
    say(at, 1, { attachments: [next] });
    at = next;
    // A message that has no room in the output waits for its turn.
    if (next.blocked === 'output') exchange(sides);
  }
  exchange(sides);
  rx.cancel();
  exchange(sides);
  assert.equal(acceptor.over, null);
  for (const end of dialer.ids.all()) end.close();
  exchange(sides);
  assertNothingLeft(dialer, acceptor);
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
  const carrier = rx.take();
  const theirs = carrier.attachments[0].end;
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
  rx.count(1, carrier.charge);
  exchange(sides);
  assertNothingLeft(dialer, acceptor);
});

test('goodbye is answered at once, behind what was sent; without it the session is lost', () => {
  for (const clean of [true, false]) {
    const { sides, dialer, acceptor, tx, rx } = channel(4);
    say(tx);
    tx.close();
    if (clean) dialer.goodbye();
    exchange(sides);
    dialer.eof();
    acceptor.eof();
    for (const { over } of [dialer, acceptor]) assert.equal(over.why, clean ? 'closed' : 'lost');
    assert.equal(rx.take().payload.length, 4);
    assert.equal(rx.closed.code, 0, 'its own side had ended it');
  }
});

test('what its own side had not ended is SESSION_CLOSED on both sides after two goodbyes, DISCONNECTED after a loss', () => {
  for (const [code, leave] of [
    [Code.SESSION_CLOSED, ({ dialer }) => dialer.goodbye()],
    [Code.DISCONNECTED, ({ dialer, acceptor }) => { dialer.eof(); acceptor.eof(); }],
  ]) {
    const { sides, dialer, tx, rx } = channel(4);
    const stream = dialer.allocateStream();
    say(tx, 1, { attachments: [stream] });
    exchange(sides);
    const { end: far } = rx.take().attachments[0];
    leave(sides);
    exchange(sides);
    assert.equal(rx.closed.code, code);
    assert.equal(tx.cancelled.code, code);
    for (const end of [stream, far]) assert.deepEqual([end.ended.code, end.stopped.code], [code, code]);
  }
});

test('a goodbye waits for a large message that still has credit to come, unless it hurries', () => {
  for (const atOnce of [false, true]) {
    const { sides, dialer, acceptor, tx, rx } = channel(4);
    say(tx, 100_000);
    tx.close();
    dialer.goodbye({}, { atOnce });
    rx.want(1);
    exchange(sides);
    for (const { over } of [dialer, acceptor]) assert.equal(over?.why, 'closed');
    assert.equal(rx.take()?.payload.length, atOnce ? undefined : 100_000);
    assert.equal(rx.closed.code, atOnce ? Code.SESSION_CLOSED : 0);
  }
});

test('CANCEL is answered at once, and after it nothing is counted', () => {
  const { sides, dialer, acceptor, tx, rx } = channel(4);
  const held = dialer.allocateReceiver(4);
  // It crosses the CANCEL: no credit is asked of it, and what it brings is ended.
  say(tx, 4, { attachments: [held] });
  rx.cancel({ scope: 0, code: 300, text: '' });
  assert.equal(acceptor.ours.growth + acceptor.ours.extra, 0);
  exchange(sides);
  assert.ok(tx.finished && rx.finished);
  assert.equal(held.closed.code, Code.NOT_DELIVERED);
  held.cancel();
  exchange(sides);
  assertNothingLeft(dialer, acceptor);
});

test('a CLOSE with a code cuts a message, and its memory is free', () => {
  const { dialer, acceptor, tx, rx } = channel(4, { both: { local: { max_window: 2_048 } } });
  const reply = dialer.allocateReceiver(4);
  say(tx, 100_000, { attachments: [reply] });
  for (const chunk of dialer.output()) acceptor.input(chunk);
  rx.want(1);
  assert.ok(acceptor.ours.extra > 0);
  rx.onClose({ scope: 0, code: 300, text: 'cut' });
  assert.equal(acceptor.ours.extra, 0);
  assert.equal(rx.take(), undefined);
  assert.deepEqual(rx.ended, { scope: 0, code: 300, text: 'cut' });
  exchange({ dialer, acceptor });
  assert.equal(reply.closed.code, Code.NOT_DELIVERED);
});

test('with equal demand nobody gets more than twice another\'s share, and a first message waits for one turn', () => {
  const sides = pair({ both: { limits: { max_message: 4_000_000 } } });
  const { dialer, acceptor } = sides;
  const open = (name) => {
    const tx = dialer.open(name, 1_000);
    exchange(sides);
    const rx = events(acceptor, 'opened')[0].end;
    rx.accept();
    rx.want(1);
    return { tx, rx, got: 0 };
  };
  const all = [1_000_000, 200, 9_000].map((size) => Object.assign(open(`${size}`), { size }));
  const feed = (one) => { while (one.tx.blockedFor(32 + one.size) === '') say(one.tx, one.size); };
  const round = () => {
    for (const one of all) feed(one);
    const chunks = dialer.output();
    for (let event; (event = dialer.nextEvent());) if (event.type === 'writable') feed(all.find(({ tx }) => tx === event.end));
    for (const chunk of chunks) {
      acceptor.input(chunk);
      for (const one of all) if (one.tx.id === new DataView(chunk.buffer, chunk.byteOffset).getUint32(4)) one.got += chunk.length;
    }
    for (const { rx } of all) for (let message; (message = rx.take());) rx.count(1, message.charge);
    for (const chunk of acceptor.output()) dialer.input(chunk);
  };
  // Windows grow to what the demand is first.
  for (let i = 0; i < 200; i++) round();
  for (const one of all) one.got = 0;
  for (let i = 0; i < 200; i++) round();
  const shares = all.map(({ got }) => got);
  assert.ok(Math.min(...shares) > 20 * TURN, `${shares}: too little to tell`);
  assert.ok(Math.max(...shares) <= 2 * Math.min(...shares), `${shares}`);

  const late = open('late');
  for (const one of all) feed(one);
  assert.ok(['', 'output'].includes(late.tx.blocked));
  let before = 0;
  while (late.tx.blocked === 'output') {
    const chunks = dialer.output();
    before += chunks.reduce((sum, { length }) => sum + length, 0);
    for (const chunk of chunks) acceptor.input(chunk);
    assert.ok(before <= 8 * TURN, 'a first message waits for one turn of the others');
  }
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
  // A quarter of the memory is for what this side opens: three first windows of 2,048 bytes, wherever the receiving end is.
  const { dialer: small, acceptor: other } = pair({ both: { limits: { session_memory: 4 * 3 * 2_048 } } });
  small.open('a', 1);
  small.open('b', 1);
  small.allocateReceiver(1);
  assert.throws(() => small.open('c', 1), { code: Code.MEMORY });
  // What the peer opens is counted by itself.
  for (const name of ['a', 'b', 'c']) other.open(name, 1);
  assert.throws(() => other.open('d', 1), { code: Code.MEMORY });
});

test('by default one side can open 65,536 channels', () => {
  const { dialer } = pair();
  for (let i = 0; i < 65_536; i++) dialer.allocateSender(1);
  assert.throws(() => dialer.allocateSender(1), { code: Code.TOO_MANY_CHANNELS });
});

test('an id that is not in use ends the session, but for a CREDIT or CANCEL that has crossed CLOSE', () => {
  for (const [frame, broken] of [
    [{ t: 'MESSAGE', flags: 0, codec: 0, attachments: [], payload: bytes(1) }, true],
    [{ t: 'CLOSE', scope: 0, code: 0, text: '' }, true],
    [{ t: 'CREDIT', taken: 0, wanted: 0, bytes: 1 }, false],
    [{ t: 'CANCEL', scope: 0, taken: 0, code: 0, text: '' }, false],
  ]) {
    const { acceptor } = pair();
    // An id that the dialer gives, so its sender's own half.
    acceptor.input(encodeFrame({ id: 6, ...frame }));
    assert.equal(acceptor.over?.code, broken ? Code.UNKNOWN_ID : undefined, frame.t);
  }
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
