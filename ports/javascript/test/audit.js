// Recomputes every sum of a machine from what it holds.

import assert from 'node:assert/strict';

import { RecvEnd } from '../src/protocol/receiving.js';
import { SendEnd } from '../src/protocol/sending.js';
import { StreamEnd } from '../src/protocol/streaming.js';

const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);

/** `ends`: all that a test knows of, the finished ones too. */
export function audit(machine, ends) {
  const { limits, ids, ours, openedHere, openedThere, awaited, largeOpen } = machine;
  const quarter = Math.floor(limits.session_memory / 4);
  const known = ids.all();
  const windowOf = (end) => (end instanceof StreamEnd ? limits.stream_window : limits.initial_window);
  for (const [opened, own] of [[openedHere, true], [openedThere, false]]) {
    const mine = known.filter((end) => end.own === own);
    assert.deepEqual([opened.count, opened.bytes], [mine.length, sum(mine.map(windowOf))]);
    assert.ok(opened.count <= limits.max_channels && opened.bytes <= quarter);
  }
  const receiving = known.filter((end) => !(end instanceof SendEnd));
  assert.equal(ours.growth, sum(receiving.map((end) => end.window.size - windowOf(end))));
  assert.equal(ours.extra, sum(receiving.map((end) => end.window.extra)));
  assert.ok(ours.growth <= quarter && ours.extra <= quarter);
  for (const end of receiving) {
    const { size, extra, left, held } = end.window;
    assert.ok(left >= 0, 'a frame beyond the credit');
    if (!end.cancelled && !end.stopping) assert.ok(left + held <= size + extra, `${left} + ${held} > ${size} + ${extra}`);
  }
  assert.equal(largeOpen, known.filter((end) => end instanceof SendEnd && end.large).length);
  for (const end of awaited) {
    assert.ok(end.partial && end.waiting > 0 && end.inbox.length === 0, 'in the line of large messages, and nobody waits');
  }
  const [head] = awaited;
  if (head) {
    const lacks = head.partial.message.charge - head.window.size;
    assert.ok(ours.extra + lacks > quarter, 'the line of large messages does not move on');
  }
  for (const end of ends) if (end.finished) assertHoldsNothing(machine, end);
}

/** Nobody counts what a finished end holds. */
function assertHoldsNothing({ limits, due, awaited, ids }, end) {
  assert.ok(!due.has(end) && !awaited.has(end) && !ids.all().includes(end));
  if (end instanceof SendEnd) return assert.equal(end.large, null);
  if (end instanceof StreamEnd) return assert.deepEqual([end.arrived.length, end.window.size], [0, limits.stream_window]);
  assert.ok(end instanceof RecvEnd);
  assert.deepEqual([end.inbox.length, end.partial], [0, null]);
  assert.deepEqual([end.window.size, end.window.extra], [limits.initial_window, 0]);
}
