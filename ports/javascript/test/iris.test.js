// Iris: what a page says to a relay, and what it makes of what it hears. The relay's side is said by hand, as in spec/iris.md.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { msgpack } from '../src/codecs/index.js';
import { pipe } from '../src/index.js';
import { Connection, IrisError, connect } from '../src/iris.js';
import { unhex } from '../testee/refusal.js';
import { sessions, settle } from './links.js';

const plain = (text) => [0, new TextEncoder().encode(text), []];
const body = (value, ...ends) => [1, msgpack.encode(value), ends];
const value = ([, payload]) => msgpack.decode(payload);

/** An application's connection, and the relay at its other end. */
async function attached() {
  const [dialer, acceptor] = await sessions();
  const channels = new Map();
  const relay = {
    session: acceptor,
    /** The next message on a named channel. */
    async next(name) {
      while (!channels.has(name)) {
        const incoming = await acceptor.accept();
        channels.set(incoming.name, incoming.receive());
      }
      return channels.get(name).recv();
    },
    async opened() {
      relay.requests ??= await relay.next('iris/1/requests');
      return relay.requests;
    },
    async asked() {
      return (await relay.opened()).asks.recv();
    },
    async answer(number, verdict) {
      await (await relay.opened()).answers.send([number, verdict]);
    },
    async subscribed() {
      const asked = await relay.next('iris/1/subscribe');
      await asked.ready.send({ Ok: null });
      return asked;
    },
  };
  return { app: new Connection(dialer), relay };
}

const fails = (reason, safe) => (error) => {
  assert.ok(error instanceof IrisError, String(error));
  assert.equal(error.reason, reason);
  if (safe !== undefined) assert.equal(error.isSafeToRetry, safe, reason);
  return true;
};

test('a request and its reply', async () => {
  const { app, relay } = await attached();
  const asking = app.request('adder', { a: 2, b: 3 }, { within: 1_499.5 });
  const { Request: [number, cluster, left, wait, asked] } = await relay.asked();
  assert.deepEqual([cluster, left, wait, asked[0], value(asked)], ['adder', 1_500, true, 1, { a: 2, b: 3 }]);
  await relay.answer(number, { Ok: body(5) });
  assert.equal(await asking, 5);
  await app.close();
});

test('replies come in any order', async () => {
  const { app, relay } = await attached();
  const asking = [0, 1, 2, 3].map((at) => app.request('echo', at, { within: 5_000 }));
  const asked = [];
  for (const _ of asking) asked.push((await relay.asked()).Request);
  for (const [number, , , , one] of asked.reverse()) await relay.answer(number, { Ok: one });
  assert.deepEqual(await Promise.all(asking), [0, 1, 2, 3]);
  await app.close();
});

test('every verdict is an error of its own', async () => {
  const { app, relay } = await attached();
  const verdicts = [
    ['Timeout', 'Timeout', false], ['NoMember', 'NoMember', true], ['Busy', 'Busy', true], ['Lost', 'Lost', false],
    ['Going', 'Closed', true], [{ Refused: 'no right' }, 'Refused', true], [{ Fault: plain('broken') }, 'Remote', false],
    ['Tomorrow', 'NotDecoded', false], [{ Ok: 7 }, 'NotDecoded', false], [{ Ok: [1, new Uint8Array([0xc1]), []] }, 'NotDecoded', false],
  ];
  for (const [verdict, reason, safe] of verdicts) {
    const asking = app.request('x', null, { within: 5_000, wait: false });
    const { Request: [number, , , wait] } = await relay.asked();
    assert.equal(wait, false);
    relay.answer(number, verdict);
    await assert.rejects(asking, (error) => fails(reason, safe)(error)
      && (reason !== 'Remote' || error.text === 'broken') && (reason !== 'Refused' || error.text === 'no right'));
  }
  await app.close();
});

test('time is up, or its caller gives up: it is cancelled at the relay', async () => {
  const { app, relay } = await attached();
  const late = app.request('x', null, { within: 10 });
  let { Request: [number] } = await relay.asked();
  await assert.rejects(late, fails('Timeout', false));
  assert.deepEqual(await relay.asked(), { Cancel: number });
  const giveUp = new AbortController();
  const given = app.request('x', null, { within: 5_000, signal: giveUp.signal });
  ({ Request: [number] } = await relay.asked());
  giveUp.abort(new Error('enough'));
  await assert.rejects(given, /enough/);
  assert.deepEqual(await relay.asked(), { Cancel: number });
  // What comes too late is nobody's, and its ends are ended.
  const [rows, found] = pipe();
  await relay.answer(number, { Ok: body(null, rows) });
  await assert.rejects(found.recv(), { wireCode: 39 });
  await app.close();
});

test('ends in a request and in its reply work', async () => {
  const { app, relay } = await attached();
  const [rows, found] = pipe();
  const asking = app.request('table', { first: 7, rows }, { within: 5_000 });
  const { Request: [number, , , , asked] } = await relay.asked();
  assert.equal(asked[2].length, 1);
  await asked[2][0].send(7);
  asked[2][0].drop();
  const [more, wanted] = pipe();
  await relay.answer(number, { Ok: [1, Uint8Array.of(0xd4, 1, 0), [more]] });
  await (await asking).send(8);
  assert.equal(await found.recv(), 7);
  assert.equal(await found.recv(), undefined);
  assert.equal(await wanted.recv(), 8);
  await app.close();
});

test('what was not sent has its ends again', async () => {
  const { app } = await attached();
  const [rows, found] = pipe();
  const twice = rows.clone();
  await assert.rejects(app.request('x', [rows, Symbol('none')], { within: 5_000 }), fails('Local', true));
  await assert.rejects(app.request('x', [rows, twice, new Uint8Array(17 << 20)], { within: 5_000 }), fails('Local', true));
  await assert.rejects(app.request(7, rows, { within: 5_000 }), fails('Local', true));
  for (const within of [undefined, 0, -1, NaN]) await assert.rejects(app.request('x', rows, { within }), fails('Local', true));
  for (const tell of ['publish', 'broadcast']) await assert.rejects(app[tell]('x', [rows]), fails('Local', true));
  await app.close();
  await assert.rejects(app.request('x', [rows], { within: 5_000 }), fails('Closed', true));
  await assert.rejects(app.publish('x', 1), fails('Closed', true));
  twice.drop();
  await rows.send(1);
  rows.drop();
  assert.deepEqual([await found.recv(), await found.recv()], [1, undefined]);
});

test('a relay that is lost, or ends its answers, is lost at once', async () => {
  for (const end of [(relay) => relay.session.abort(), async (relay) => (await relay.opened()).answers.drop()]) {
    const { app, relay } = await attached();
    const asking = app.request('x', null, { within: 3_600_000 });
    await relay.asked();
    end(relay);
    await assert.rejects(asking, fails('Lost', false));
    await assert.rejects(app.request('x', null, { within: 3_600_000 }), fails('Closed', true));
    relay.session.abort();
  }
});

test('answers that are none harm no other', async () => {
  const { app, relay } = await attached();
  const asking = app.request('x', null, { within: 5_000 });
  const { Request: [number] } = await relay.asked();
  const { answers } = await relay.opened();
  const [rows, found] = pipe();
  for (const wrong of [null, [number], ['1', 'Busy'], 7, [{ rows }]]) await answers.send(wrong);
  await assert.rejects(found.recv(), { wireCode: 38 });
  await relay.answer(number, { Ok: body('still there') });
  assert.equal(await asking, 'still there');
  await app.close();
});

test('posts', async () => {
  const { app, relay } = await attached();
  await app.broadcast('workers', 'wake up');
  await app.publish('prices', { tea: 3 });
  const { Broadcast: [cluster, told] } = await relay.next('iris/1/posts');
  assert.deepEqual([cluster, value(told)], ['workers', 'wake up']);
  const { Publish: [topic, event] } = await relay.next('iris/1/posts');
  assert.deepEqual([topic, value(event)], ['prices', { tea: 3 }]);
  await app.close();
});

test('events, and what was lost', async () => {
  const { app, relay } = await attached();
  const subscribing = app.subscribe('prices', { events: 5, bytes: 1_000 });
  const asked = await relay.next('iris/1/subscribe');
  assert.deepEqual([asked.topic, asked.bytes, asked.events.capacity], ['prices', 1_000, 5]);
  let done = false;
  subscribing.then(() => { done = true; });
  await settle();
  assert.ok(!done, 'in force when it resolves');
  await asked.ready.send({ Ok: null });
  const prices = await subscribing;
  const { events } = asked;
  await events.send([0, body('tea')]);
  await events.send('no event');
  await events.send([7, [1, Uint8Array.of(0xc1), []]]);
  await events.send([9, body('coffee')]);
  events.drop();
  assert.deepEqual([await prices.next(), prices.lost], ['tea', 0]);
  await assert.rejects(prices.next(), fails('NotDecoded'));
  await assert.rejects(prices.next(), fails('NotDecoded'));
  const rest = [];
  for await (const event of prices) rest.push(event);
  assert.deepEqual([rest, prices.lost], [['coffee'], 9]);
  await app.close();
});

test('subscriptions that are dropped, refused, given up or lost', async () => {
  const { app, relay } = await attached();
  let subscribing = app.subscribe('x');
  let asked = await relay.subscribed();
  (await subscribing).drop();
  await asked.events.closed();

  subscribing = app.subscribe('x');
  asked = await relay.next('iris/1/subscribe');
  await asked.ready.send({ Err: 'no right to it' });
  await assert.rejects(subscribing, (error) => fails('Refused', true)(error) && error.text === 'no right to it');
  await asked.events.closed();

  const giveUp = new AbortController();
  subscribing = app.subscribe('x', { signal: giveUp.signal });
  asked = await relay.next('iris/1/subscribe');
  giveUp.abort(new Error('enough'));
  await assert.rejects(subscribing, /enough/);
  await asked.events.closed();

  for (const options of [{ events: 0 }, { bytes: 0 }, { events: 1.5 }]) await assert.rejects(app.subscribe('x', options), fails('Local'));
  subscribing = app.subscribe('x');
  await relay.subscribed();
  const events = await subscribing;
  relay.session.abort();
  await assert.rejects(events.next(), fails('Lost', false));
  await assert.rejects(app.subscribe('x'), fails('Closed', true));
});

test('a URL that is none', async () => {
  await assert.rejects(connect('ftp://x'), fails('Local', true));
});

// The messages of spec/vectors/iris.json that a page says or hears come to the same bytes.
const vectors = process.env.LIBCHAN_VECTORS ?? fileURLToPath(new URL('../../../spec/vectors', import.meta.url));
const file = `${vectors}/iris.json`;

test('the vectors', { skip: !existsSync(file) && 'no vectors beside this package' }, async () => {
  const reasons = {
    'ir.answer.003': 'Remote', 'ir.answer.004': 'Timeout', 'ir.answer.005': 'NoMember', 'ir.answer.006': 'Busy', 'ir.answer.007': 'Lost',
    'ir.answer.008': 'Refused',
  };
  const { app, relay } = await attached();
  let played = 0;
  for (const { id, message, hex, ends, error } of JSON.parse(readFileSync(file))) {
    if (message !== 'answer' || error || ends.length > 0) continue;
    played += 1;
    const [, verdict] = msgpack.decode(unhex(hex));
    assert.deepEqual(Buffer.from(msgpack.encode([7, verdict])).toString('hex'), hex, id);
    const asking = app.request('x', null, { within: 5_000 });
    const { Request: [number] } = await relay.asked();
    relay.answer(number, verdict);
    if (reasons[id]) await assert.rejects(asking, fails(reasons[id]));
    else assert.equal(await asking, 'done');
  }
  assert.equal(played, 7);
  await app.close();
});
