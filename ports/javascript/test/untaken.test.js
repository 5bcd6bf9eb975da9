// Messages that a competing worker has not taken: they go to another whole, with all that they carry; where the worker is lost,
// what they carry says so.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ByteStream, pipe } from '../src/index.js';
import { Code } from '../src/protocol/codes.js';
import { channel, settle } from './links.js';

/** A message that lies at a worker which had asked for it and has given up. */
async function untaken(message, options) {
  const { tx, rx, dialer, acceptor } = await channel(options);
  const [jobs, inbox] = pipe({ capacity: 8 });
  await tx.send(inbox.clone());
  const worker = await rx.recv();
  const asked = new AbortController();
  const asking = worker.recv({ signal: asked.signal }).catch(() => {});
  await settle();
  asked.abort();
  await asking;
  await jobs.send(message);
  await settle();
  return { jobs, inbox, worker, dialer, acceptor };
}

const textOf = async (stream) => Buffer.from(await stream.bytes()).toString();

test('a stream goes to the next whole', async () => {
  for (const leaves of ['drop', 'close']) {
    const [mine, other] = ByteStream.pair();
    await mine.write('written before');
    const { inbox, worker, acceptor } = await untaken({ input: other });
    await mine.write(', meanwhile');
    if (leaves === 'drop') worker.drop();
    else await acceptor.close();
    const { input } = await inbox.recv();
    await mine.write(' and after');
    mine.end();
    assert.equal(await textOf(input), 'written before, meanwhile and after');
    await input.write('answer');
    input.end();
    assert.equal(await textOf(mine), 'answer');
  }
});

test('a stream moves once its message is taken', async () => {
  const [mine, other] = ByteStream.pair();
  const { worker } = await untaken({ input: other });
  await mine.write('question');
  const { input } = await worker.recv();
  assert.equal(Buffer.from(await input.read()).toString(), 'question');
  await input.write('answer');
  assert.equal(Buffer.from(await mine.read()).toString(), 'answer');
});

test('a receiver goes to the next with its messages', async () => {
  const [words, reading] = pipe();
  await words.send('first');
  const { inbox, worker } = await untaken({ reading });
  await words.send('second');
  await settle();
  worker.drop();
  const job = await inbox.recv();
  words.drop();
  const got = [];
  for await (const word of job.reading) got.push(word);
  assert.deepEqual(got, ['first', 'second']);
});

test('what a lost worker had is lost, and does not say that it was not delivered', async () => {
  for (const others of [true, false]) {
    const [mine, other] = ByteStream.pair();
    const [[done, said], [words, reading]] = [pipe(), pipe()];
    const { jobs, inbox, acceptor } = await untaken({ other, done, reading });
    if (!others) inbox.drop();
    acceptor.abort();
    await assert.rejects(said.recv(), { name: 'Disconnected' });
    await assert.rejects(mine.read(), { name: 'Disconnected' });
    assert.equal((await words.closed()).name, 'Disconnected');
    if (!others) continue;
    await jobs.send('next');
    assert.equal(await inbox.recv(), 'next');
  }
});

test('the last worker leaves: what it has not taken was not delivered', async () => {
  const [mine, other] = ByteStream.pair();
  const [[done, said], [words, reading]] = [pipe(), pipe()];
  const { inbox, worker, dialer } = await untaken({ other, done, reading });
  inbox.drop();
  worker.drop();
  await assert.rejects(said.recv(), { wireCode: Code.NOT_DELIVERED });
  await assert.rejects(mine.read(), { wireCode: Code.NOT_DELIVERED });
  assert.equal((await words.closed()).wireCode, Code.NOT_DELIVERED);
  await settle();
  // The channel that brought the worker's receiver is all that is left.
  assert.equal([...dialer.machine.ids.all()].length, 1);
});

test('a message that a lost worker behind a relay may have taken is not served again', async () => {
  const near = await channel();
  const far = await channel();
  const [jobs, inbox] = pipe({ capacity: 8 });
  await near.tx.send(inbox.clone());
  await far.tx.send(await near.rx.recv());
  const worker = await far.rx.recv();
  const taken = worker.recv();
  await settle();
  await jobs.send('once');
  assert.equal(await taken, 'once');
  // The word that it was taken is lost with the link.
  far.acceptor.abort();
  await settle();
  await jobs.send('next');
  assert.equal(await inbox.recv(), 'next');
});

test('a rendezvous that nobody took comes back with its stream whole', async () => {
  const { tx, rx } = await channel({ capacity: 0 });
  const [mine, other] = ByteStream.pair();
  const asked = new AbortController();
  const asking = rx.recv({ signal: asked.signal }).catch(() => {});
  await settle();
  asked.abort();
  await asking;
  const sending = tx.send({ other }).catch((error) => error);
  await settle();
  await mine.write('still here');
  rx.drop();
  const { value } = await sending;
  assert.equal(value.other, other);
  assert.equal(Buffer.from(await other.read()).toString(), 'still here');
});

test('a stream that was read here before it travels does not hold up a close', async () => {
  const [mine, other] = ByteStream.pair();
  await mine.write('read here');
  await other.read();
  const { dialer } = await untaken({ input: other });
  assert.equal(await dialer.close(), undefined);
});

test('close waits for what a stream in an untaken message holds', async () => {
  const [mine, other] = ByteStream.pair();
  const { worker, dialer } = await untaken({ input: other });
  await mine.write('accepted');
  const closed = dialer.close();
  await settle();
  const { input } = await worker.recv();
  assert.equal(Buffer.from(await input.read()).toString(), 'accepted');
  input.close();
  assert.equal(await closed, undefined);
});
