// The JavaScript side of patterns/iris/tests/ports.rs: `iris-peer.js PART URL`. It tells the test what it does in lines, and ends
// with an error where something is not as it should be.

import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

import { Connection } from 'libchan/iris';
import { dial, pipe } from 'libchan/node';

const say = (line) => process.stdout.write(`${line}\n`);
const within = 60_000;

/** The next line of the test. */
function told() {
  const lines = createInterface({ input: process.stdin });
  return new Promise((resolve) => { lines.once('line', (line) => { lines.close(); resolve(line); }); });
}

const fails = (reason, isSafeToRetry) => (error) => error.reason === reason && error.isSafeToRetry === isSafeToRetry;

async function ask(relay) {
  assert.equal(await relay.request('adder', [2, 3], { within }), 5);
  for (let number = 0; number < 3; number++) await relay.publish('from-port', number);

  const [rows, found] = pipe();
  assert.equal(await relay.request('rust', ['rows', { first: 7, rows }], { within }), 'sent');
  const all = [];
  for await (const row of found) all.push(row);
  assert.deepEqual(all, [7, 8, 9]);
  assert.equal(Buffer.from(await relay.request('rust', ['bytes', null], { within })).toString(), 'plain');

  await assert.rejects(relay.request('rust', ['?', null], { within }), { reason: 'Remote', text: 'there is no such thing' });
  await assert.rejects(relay.request('nobody', null, { within, wait: false }), fails('NoMember', true));
  await assert.rejects(relay.request('rust', ['hang', null], { within: 50 }), fails('Timeout', false));
  await assert.rejects(relay.request('', null, { within }), { reason: 'Refused', text: 'the name is empty' });
  await assert.rejects(relay.subscribe('x'.repeat(2_000)), fails('Refused', true));

  const events = await relay.subscribe('from-rust');
  assert.equal(await relay.request('rust', ['publish', null], { within }), 10);
  for (let number = 0; number < 10; number++) assert.equal(await events.next(), number);
  assert.equal(events.lost, 0);
  events.drop();

  const many = Array.from({ length: 200 }, (_, number) => relay.request('adder', [number, 1], { within }));
  assert.deepEqual(await Promise.all(many), many.map((_, number) => number + 1));
  say('asked');
}

async function slow(relay) {
  const flood = await relay.subscribe('flood', { events: 4 });
  say('subscribed');
  await told();
  let count = 0;
  for await (const number of flood) {
    assert.equal(number, count + flood.lost);
    count += 1;
    if (count === 4 || count === 5) say(`read ${count}, lost ${flood.lost}`);
    if (count === 5) break;
  }
  flood.drop();
}

const [part, url] = process.argv.slice(2);
const relay = new Connection(await dial(url));
await { ask, slow }[part](relay);
await relay.close();
process.exit(0);
