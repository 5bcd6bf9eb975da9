// Two machines under random commands, with bytes that are cut and delayed at random. No rule may be broken, messages and
// bytes arrive in order and whole, and nothing is left in the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { join } from '../src/protocol/bytes.js';
import { Kind } from '../src/protocol/frames.js';
import { Machine } from '../src/protocol/machine.js';
import { RecvEnd } from '../src/protocol/receiving.js';
import { SendEnd } from '../src/protocol/sending.js';
import { StreamEnd } from '../src/protocol/streaming.js';
import { seeded } from './random.js';

const LIMITS = {
  max_frame: 4_096, max_message: 60_000, max_attachments: 4, max_channels: 40, max_pending_accepts: 4,
  initial_window: 600, stream_window: 500, session_memory: 400_000,
};

/** One side: its machine, its ends, and what it has sent and got by wire id of the channel's life. */
class Side {
  constructor(role) {
    this.machine = new Machine({ role, limits: LIMITS, local: { max_window: 5_000 } });
    this.sends = [];
    this.recvs = [];
    this.streams = [];
    this.wire = [];
  }

  own(end, life) {
    end.life = life;
    if (end instanceof SendEnd) this.sends.push(end);
    else if (end instanceof RecvEnd) this.recvs.push(end);
    else this.streams.push(end);
  }
}

class World {
  /** `talker`: only the dialer opens, sends and writes. */
  constructor(random, talker = false) {
    this.random = random;
    this.talker = talker;
    this.sides = [new Side('dialer'), new Side('acceptor')];
    /** Of each life of a channel or stream: what was sent, by number. */
    this.lives = [];
  }

  life() {
    this.lives.push({ sent: 0, got: 0, written: [0, 0], read: [0, 0] });
    return this.lives.at(-1);
  }

  /** Moves what a side has to say onto the wire, and some of the wire to the other. */
  carry(all) {
    const { random, sides } = this;
    sides.forEach((side, at) => {
      if (all || random.chance(2)) side.wire.push(...side.machine.output());
      if (side.wire.length === 0) return;
      let bytes = join(side.wire);
      const keep = all ? 0 : random.below(bytes.length + 1);
      side.wire = keep > 0 ? [bytes.slice(bytes.length - keep)] : [];
      bytes = bytes.subarray(0, bytes.length - keep);
      const other = sides[1 - at];
      for (let from = 0; from < bytes.length;) {
        const size = Math.min(1 + random.below(3_000), bytes.length - from);
        other.machine.input(bytes.slice(from, from + size));
        from += size;
      }
      this.look(other);
    });
  }

  /** Every sum recomputed, and a finished end holds nothing. */
  audit({ machine }) {
    const live = machine.ids.all();
    for (const [opened, own] of [[machine.openedHere, true], [machine.openedThere, false]]) {
      const of = live.filter((end) => end.own === own);
      const bytes = of.map((end) => (end instanceof StreamEnd ? LIMITS.stream_window : LIMITS.initial_window));
      assert.deepEqual([opened.count, opened.bytes], [of.length, bytes.reduce((a, b) => a + b, 0)]);
      assert.ok(opened.count <= LIMITS.max_channels && opened.bytes <= LIMITS.session_memory / 4);
    }
    const windows = live.filter((end) => end.window);
    const first = (end) => (end instanceof StreamEnd ? LIMITS.stream_window : LIMITS.initial_window);
    assert.equal(machine.ours.growth, windows.reduce((sum, end) => sum + end.window.size - first(end), 0));
    assert.equal(machine.ours.extra, windows.reduce((sum, end) => sum + end.window.extra, 0));
    // Of an end that was cancelled or stopped nothing is counted any more.
    for (const { window } of windows.filter((end) => !end.cancelled && !end.stopping)) assert.ok(window.left >= 0 && window.left + window.held <= window.size + window.extra);
    for (const end of machine.awaited) assert.ok(end.partial && end.waiting > 0 && end.inbox.length === 0 && !end.finished);
  }

  /** A message that has ended its life holds nothing here. */
  auditFinished(side) {
    for (const end of side.recvs) if (end.finished) assert.ok(end.inbox.length === 0 && !end.partial);
    for (const end of side.sends) if (end.finished) assert.equal(end.large, null);
  }

  look(side) {
    this.audit(side);
    this.auditFinished(side);
    for (let event; (event = side.machine.nextEvent());) {
      if (event.type === 'over') assert.fail(`over: ${JSON.stringify(event.value)}`);
      if (event.type !== 'opened') continue;
      side.own(event.end, this.lives[Number(event.end.opening.name)]);
      event.end.accept();
    }
  }

  /** Who talks to somebody that says nothing does without demand. */
  capacity() {
    return this.random.below(5) + (this.talker ? 1 : 0);
  }

  attachments(side) {
    const made = [];
    try {
      for (let n = this.random.below(4); n > 0; n--) {
        const kind = this.random.below(3);
        const { machine, random } = { machine: side.machine, random: this.random };
        if (kind === 0) made.push(machine.allocateSender(this.capacity(), this.talker || random.chance(2)));
        else if (kind === 1) made.push(machine.allocateReceiver(this.capacity(), { waiting: random.below(3) }));
        else made.push(machine.allocateStream());
      }
      const homes = side.sends.filter((end) => !end.own && end.announced && !end.closing && !end.cancelled && !end.large);
      if (homes.length > 0 && this.random.chance(3)) made.push({ home: this.random.pick(homes) });
    } catch (error) {
      assert.equal(error.name, 'LimitError');
    }
    return made;
  }

  send(side) {
    const end = this.random.pick(side.sends);
    // Half of the first window: a message that small waits for all of its credit.
    if (!end || end.blockedFor(LIMITS.initial_window / 2 + 1) || (this.talker && side !== this.sides[0])) return;
    const attachments = this.attachments(side);
    const lives = attachments.map((made) => (made.home ? -1 : this.lives.indexOf(this.life())));
    const size = this.random.chance(6) ? this.random.below(50_000) : this.random.below(200);
    const payload = new TextEncoder().encode(JSON.stringify({ n: end.life.sent++, lives, pad: 'x'.repeat(size) }));
    end.send({ codec: 0, payload, attachments });
    attachments.forEach((made, i) => { if (!made.home) side.own(made, this.lives[lives[i]]); });
  }

  take(side, end) {
    const message = end.take();
    if (!message) return false;
    const { n, lives } = JSON.parse(new TextDecoder().decode(message.payload));
    assert.equal(n, end.life.got++, 'messages arrive in order');
    const kept = message.attachments.filter((attachment, i) => {
      if (this.random.chance(4)) return false;
      if (attachment.kind === Kind.SENDER_HOME) attachment.end.releaseHold();
      else side.own(attachment.end, this.lives[lives[i]]);
      attachment.end.accept?.();
      return true;
    });
    side.machine.reject(message.attachments.filter((attachment) => !kept.includes(attachment)));
    end.count(1, message.charge);
    return true;
  }

  write(end) {
    const at = end.own ? 0 : 1;
    const bytes = Uint8Array.from({ length: this.random.below(2_000) }, (_, i) => (end.life.written[at] + i) % 251);
    end.life.written[at] += end.write(bytes);
  }

  read(end) {
    const at = end.own ? 1 : 0;
    const bytes = end.read(1 + this.random.below(1_000));
    bytes?.forEach((byte) => assert.equal(byte, end.life.read[at]++ % 251, 'bytes arrive in order'));
    return bytes !== null;
  }

  step() {
    const { random } = this;
    const side = random.pick(this.sides);
    const recv = random.pick(side.recvs);
    const stream = random.pick(side.streams);
    switch (random.below(14)) {
      case 0: return this.open(this.talker ? this.sides[0] : side);
      case 1: case 2: case 3: case 4: return this.send(side);
      case 5: case 6: return recv && this.take(side, recv);
      case 7: return recv?.want(random.below(4));
      case 8: return random.chance(4) && random.pick(side.sends)?.close({ scope: random.below(2), code: random.pick([0, 300]), text: '' });
      case 9: return random.chance(6) && recv?.cancel({ scope: random.below(2), code: random.pick([0, 300]), text: 'x' });
      case 10: return stream && !this.talker && this.write(stream);
      case 11: return stream && this.read(stream);
      case 12: return random.chance(4) && stream && (random.chance(2) ? stream.end() : stream.stop());
      default: return this.carry(false);
    }
  }

  open(side) {
    try {
      const life = this.life();
      side.own(side.machine.open(`${this.lives.indexOf(life)}`, this.capacity()), life);
    } catch (error) {
      assert.equal(error.name, 'LimitError');
    }
  }

  /** Everything is read and closed; then nothing may be left. */
  end() {
    for (let round = 0; round < 50; round++) {
      for (const side of this.sides) {
        for (const end of side.sends) end.close();
        for (const end of side.recvs) {
          while (this.take(side, end));
          // A large message that nobody waits for may wait for memory for ever.
          end.want(1);
        }
        for (const end of side.streams) {
          end.end();
          while (this.read(end));
        }
      }
      this.carry(true);
    }
    for (const { machine } of this.sides) {
      const { ours, openedHere, openedThere, ids, pendingAccepts, largeOpen, awaited } = machine;
      assert.deepEqual(
        { open: ids.all().length, pendingAccepts, largeOpen, awaited: awaited.size, sums: [ours.growth, ours.extra] },
        { open: 0, pendingAccepts: 0, largeOpen: 0, awaited: 0, sums: [0, 0] },
      );
      for (const { count, bytes } of [openedHere, openedThere]) assert.deepEqual([count, bytes], [0, 0]);
    }
  }
}

test('random commands break no rule and leave nothing', (t) => {
  const random = seeded(t);
  for (let round = 0; round < 30; round++) {
    const world = new World(random);
    world.carry(true);
    world.carry(true);
    for (let i = 0; i < 1_500; i++) {
      world.step();
      for (const side of world.sides) world.look(side);
    }
    world.end();
  }
});

/** What the dialer of a session has said, in which it alone sends. */
function conversation(random) {
  const world = new World(random, true);
  const said = [];
  const { machine } = world.sides[0];
  const output = machine.output.bind(machine);
  machine.output = () => {
    const chunks = output();
    said.push(...chunks);
    return chunks;
  };
  world.carry(true);
  world.carry(true);
  for (let i = 0; i < 400; i++) world.step();
  world.carry(true);
  return join(said);
}

test('bytes that were tampered with never throw, and memory stays within its bounds', (t) => {
  const random = seeded(t);
  const ends = { broken: 0, going: 0 };
  for (let round = 0; round < 60; round++) {
    const bytes = conversation(random);
    for (let again = 0; again < 10; again++) {
      const bad = bytes.slice();
      // The hello stays whole, mostly.
      const from = random.chance(10) ? 0 : Math.min(100, bad.length - 1);
      // Mostly one byte, sometimes none.
      for (let n = random.below(4); n > 0; n--) bad[from + random.below(bad.length - from)] = random.below(256);
      const machine = new Machine({ role: 'acceptor', limits: LIMITS });
      for (let at = 0; at < bad.length;) {
        const size = 1 + random.below(5_000);
        machine.input(bad.subarray(at, at + size));
        at += size;
        const { ours, openedThere } = machine;
        const quarter = LIMITS.session_memory / 4;
        assert.ok(openedThere.bytes <= quarter && ours.growth <= quarter && ours.extra <= quarter);
        for (let event; (event = machine.nextEvent());) {
          if (event.type === 'opened' && random.chance(2)) event.end.accept();
          if (event.type === 'readable') for (let message; (message = event.end.take());) {
            machine.reject(message.attachments);
            event.end.count(1, message.charge);
          }
        }
        machine.output();
      }
      machine.tick(1);
      machine.eof();
      ends[machine.over.why === 'broken' ? 'broken' : 'going']++;
    }
  }
  t.diagnostic(JSON.stringify(ends));
  assert.ok(ends.broken > 0 && ends.going > 0);
});

test('random bytes behind a good hello', (t) => {
  const random = seeded(t);
  const hello = join(new Machine({ role: 'dialer' }).output());
  for (let round = 0; round < 3_000; round++) {
    const machine = new Machine({ role: 'acceptor' });
    machine.input(hello);
    for (let n = 0; n < 5; n++) {
      const body = Uint8Array.from({ length: random.below(40) }, () => (random.chance(2) ? random.below(4) : random.below(256)));
      const head = Uint8Array.of(0, 0, body.length, 1 + random.below(15), 0, 0, 0, random.below(8));
      machine.input(join([head, body]));
      machine.output();
    }
    machine.eof();
    assert.ok(machine.over);
  }
});
