// The testee as the runner sees it: a child process and lines of JSON. Two of them talk to each other.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { after, test } from 'node:test';

const children = [];

class Testee {
  constructor() {
    this.child = spawn(process.execPath, [fileURLToPath(new URL('../testee.js', import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'] });
    children.push(this.child);
    this.n = 0;
    this.waiting = new Map();
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const reply = JSON.parse(line);
      this.waiting.get(reply.n)(reply);
    });
  }

  begin(verb, request) {
    const n = ++this.n;
    const reply = new Promise((resolve) => { this.waiting.set(n, resolve); });
    this.child.stdin.write(`${JSON.stringify({ n, do: verb, ...request })}\n`);
    return Object.assign(reply, { n });
  }

  async ask(verb, request) {
    const { ok, err } = await this.begin(verb, request);
    assert.equal(err, undefined, JSON.stringify(err));
    return ok;
  }
}

after(() => { for (const child of children) child.stdin.end(); });

test('hello, and verbs that are not there', async () => {
  const testee = new Testee();
  assert.equal((await testee.ask('hello')).level, 2);
  assert.equal((await testee.begin('nonsense')).err.name, 'UNKNOWN_VERB');
  assert.equal((await testee.begin('__proto__')).err.name, 'UNKNOWN_VERB');
  assert.equal((await testee.begin('recv', { receiver: 99 })).err.name, 'NO_SUCH_HANDLE');
});

test('an accept is given up', async () => {
  const testee = new Testee();
  const { listener } = await testee.ask('listen', { url: 'tcp://127.0.0.1:0' });
  const accepted = testee.begin('accept', { listener });
  assert.deepEqual(await testee.ask('give_up', { request: accepted.n }), { given_up: true });
  assert.equal((await accepted).err.name, 'GIVEN_UP');
});

test('two testees: nested ends, streams, codes', async () => {
  const [one, two] = [new Testee(), new Testee()];
  const { listener, url } = await two.ask('listen', { url: 'tcp://127.0.0.1:0' });
  const accepted = two.ask('accept', { listener });
  const { session } = await one.ask('dial', { url, metadata: [['who', '6f6e65']] });
  const there = await accepted;
  assert.deepEqual(there.metadata, [['who', '6f6e65']]);

  const { sender } = await one.ask('open', { session, name: 'jobs' });
  const { name, receiver } = await two.ask('incoming', { session: there.session });
  assert.equal(name, 'jobs');
  const { sender: done, receiver: result } = await one.ask('pipe', { capacity: 0 });
  const { stream, other } = await one.ask('stream');
  await one.ask('send', { sender, value: { map: [['done', { sender: done }], ['input', { stream: other }]] } });
  const { value } = await two.ask('recv', { receiver });
  const [[, { sender: reply }], [, { stream: input }]] = value.map;

  await one.ask('write', { stream, payload: '6869' });
  await one.ask('finish', { stream });
  assert.deepEqual(await two.ask('read', { stream: input, max: 10 }), { payload: '6869' });
  assert.deepEqual(await two.ask('read', { stream: input, max: 10 }), { end: true });

  const waits = two.begin('send', { sender: reply, value: { int: '18446744073709551615' } });
  assert.deepEqual(await one.ask('recv', { receiver: result }), { value: { int: '18446744073709551615' } });
  assert.deepEqual((await waits).ok, {});
  const given = two.begin('send', { sender: reply, value: 1 });
  assert.deepEqual(await two.ask('give_up', { request: given.n }), { given_up: true });
  assert.equal((await given).err.name, 'GIVEN_UP');

  await two.ask('close_with', { receiver, code: 300, text: 'enough' });
  let failed;
  do failed = await one.begin('send', { sender, value: null }); while (failed.ok);
  assert.deepEqual([failed.err.name, failed.err.code, failed.err.text], ['REFUSED', 300, 'enough']);
  assert.equal((await one.ask('stats')).sessions, 1);
  await one.ask('leave', { session });
  assert.deepEqual((await two.ask('incoming', { session: there.session })).over, { why: 'closed' });
  assert.deepEqual(await two.ask('stats'), { sessions: 0, channels: 0, streams: 0, descriptors: null, tasks: null });
});
