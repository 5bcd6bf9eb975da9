// Senders that end cleanly by `finish()` alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { AttachmentInUse, MustFinish, pipe } from '../src/index.js';
import { Code } from '../src/protocol/codes.js';
import { channel, settle } from './links.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const abandoned = { name: 'Remote', wireCode: Code.ABANDONED };

/** A channel in this process, and one over a session. */
const places = {
  'in this process': async () => pipe(),
  'over a session': async () => {
    const { tx, rx } = await channel();
    return [tx, rx];
  },
};

for (const [place, make] of Object.entries(places)) {
  test(`${place}: finish() is the clean end`, async () => {
    const [tx, rx] = await make();
    const rows = tx.mustFinish();
    await rows.send(1);
    rows.finish();
    assert.deepEqual([await rx.recv(), await rx.recv()], [1, undefined]);
    assert.throws(() => rows.finish(), AttachmentInUse);
    await assert.rejects(tx.send(2), AttachmentInUse);
  });

  test(`${place}: dropped, it is abandoned behind what was sent`, async () => {
    for (const giveUp of [(rows) => rows.drop(), (rows) => rows[Symbol.dispose ?? Symbol.for('Symbol.dispose')]()]) {
      const [tx, rx] = await make();
      const rows = tx.mustFinish();
      await rows.send(1);
      giveUp(rows);
      assert.equal(await rx.recv(), 1);
      await assert.rejects(rx.recv(), abandoned);
    }
  });

  test(`${place}: with an error of its own`, async () => {
    const [tx, rx] = await make();
    const rows = tx.mustFinish();
    rows.closeWith(7, 'the table is gone');
    rows.drop();
    await assert.rejects(rx.recv(), { name: 'Remote', code: 7, text: 'the table is gone' });
  });
}

test('forgotten, it is abandoned', async () => {
  const [tx, rx] = pipe();
  (() => tx.mustFinish())();
  const outcome = rx.recv().catch((error) => error);
  let error;
  outcome.then((value) => { error = value; });
  for (let rounds = 0; rounds < 200 && !error; rounds++) {
    collect();
    await settle();
  }
  assert.equal(error?.wireCode, Code.ABANDONED);
});

test('the fault is seen once all senders have ended', async () => {
  const [tx, rx] = pipe();
  const first = tx.clone().mustFinish();
  const second = first.clone();
  assert.ok(second instanceof MustFinish);
  first.finish();
  second.drop();
  await tx.send('goes on');
  tx.drop();
  assert.equal(await rx.recv(), 'goes on');
  await assert.rejects(rx.recv(), abandoned);
});

test('sent in a message it arrives as a sender', async () => {
  const { tx, rx } = await channel();
  const [rows, read] = pipe();
  await tx.send({ rows: rows.mustFinish() });
  const got = await rx.recv();
  assert.equal(got.rows.constructor.name, 'Sender');
  await got.rows.send(1);
  got.rows.drop();
  assert.deepEqual([await read.recv(), await read.recv()], [1, undefined]);
});
