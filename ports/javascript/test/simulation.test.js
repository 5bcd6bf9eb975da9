// Two machines under random commands, with bytes that are cut and delayed at random. No rule may be broken, messages and
// bytes arrive in order and whole, every sum is recomputed after each step, and nothing is left in the end: not after all was
// closed, not after a goodbye in the middle, not after the link was cut behind any frame.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { join } from '../src/protocol/bytes.js';
import { Code } from '../src/protocol/codes.js';
import { HEADER, Kind, PREFACE } from '../src/protocol/frames.js';
import { Machine } from '../src/protocol/machine.js';
import { RecvEnd } from '../src/protocol/receiving.js';
import { SendEnd, charge } from '../src/protocol/sending.js';
import { StreamEnd } from '../src/protocol/streaming.js';
import { audit } from './audit.js';
import { seeded } from './random.js';

const LIMITS = {
  max_frame: 4_096, max_message: 60_000, max_attachments: 4, max_channels: 40, max_pending_accepts: 4,
  initial_window: 512, stream_window: 600, session_memory: 400_000,
};

/** One side: its machine, its ends, and what it has sent and got by wire id of the channel's life. */
class Side {
  constructor(role) {
    this.machine = new Machine({ role, limits: LIMITS, local: { max_window: 5_000 } });
    this.sends = [];
    this.recvs = [];
    this.streams = [];
    /** Receiving ends that this side has cancelled, and streams that it has stopped. */
    this.left = new Set();
    this.wire = [];
  }

  /** Ends that this side has, one list. */
  get all() {
    return [...this.sends, ...this.recvs, ...this.streams];
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
    /** Of each life of a channel or stream: what was sent, by number, and how it was ended. */
    this.lives = [];
    /** How the session may end; at any other end an honest peer was ended. */
    this.mayEnd = null;
  }

  life() {
    this.lives.push({ sent: 0, got: 0, said: null, written: [0, 0], read: [0, 0], finished: [false, false] });
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

  look(side) {
    for (let event; (event = side.machine.nextEvent());) {
      if (event.type === 'over' && event.value.why !== this.mayEnd) assert.fail(`over: ${JSON.stringify(event.value)}`);
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
    if (!end || end.blockedFor(charge(50_100, 4)) || (this.talker && side !== this.sides[0])) return;
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
      if (attachment.kind === Kind.SENDER_HOME) attachment.end?.releaseHold();
      else side.own(attachment.end, this.lives[lives[i]]);
      attachment.end?.accept?.();
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
      case 8: return random.chance(4) && this.close(random.pick(side.sends), random.pick([0, 300]));
      case 9: return random.chance(6) && recv && this.cancel(side, recv);
      case 10: return stream && !this.talker && this.write(stream);
      case 11: return stream && this.read(stream);
      case 12: return random.chance(4) && stream && (random.chance(2) ? this.finish(stream) : this.stop(side, stream));
      default: return this.carry(false);
    }
  }

  close(end, code) {
    if (!end || end.closing) return;
    end.life.said = code;
    end.close({ scope: this.random.below(2), code, text: '' });
  }

  cancel(side, end) {
    side.left.add(end);
    end.cancel({ scope: this.random.below(2), code: this.random.pick([0, 300]), text: 'x' });
  }

  finish(stream) {
    if (!stream.ending && !stream.stopped) stream.life.finished[stream.own ? 0 : 1] = true;
    stream.end();
  }

  stop(side, stream) {
    side.left.add(stream);
    stream.stop();
  }

  /** Every sum of both machines, and that no end says more than the other side has said. */
  audit() {
    for (const side of this.sides) {
      audit(side.machine, side.all);
      for (const end of side.recvs) {
        const clean = end.closed?.code === Code.NONE && !side.left.has(end);
        if (clean) assert.equal(end.life.said, Code.NONE, 'a clean end that nobody said');
        if (clean && end.finished) assert.equal(end.life.got, end.life.sent, 'a clean end before the last message');
      }
      for (const end of side.streams) {
        if (end.ended?.code !== Code.NONE || side.left.has(end)) continue;
        assert.ok(end.life.finished[end.own ? 1 : 0], 'a stream that looks complete');
      }
    }
  }

  /** Takes all that there is, and says for each receiving end that a receive waits. */
  drain(side) {
    for (const end of side.recvs) {
      while (this.take(side, end));
      // A large message waits for memory only together with a receive.
      end.want(1);
    }
    for (const end of side.streams) while (this.read(end));
  }

  /** The session is over: every end of both sides has ended, with this code unless its own side had ended it. */
  after(code) {
    for (const side of this.sides) {
      for (const end of side.sends) assert.ok(end.cancelled || end.finished);
      for (const end of side.recvs) {
        assert.ok(end.closed || end.cancelled || end.pendingCancel);
        if (!end.finished && end.life.said === null) assert.equal(end.closed.code, code);
      }
      for (const end of side.streams) assert.ok(end.ended && end.stopped);
      this.drain(side);
    }
    this.audit();
    for (const side of this.sides) {
      for (const end of side.sends) this.close(end, 0);
      for (const end of side.recvs) end.cancel();
      for (const end of side.streams) end.stop();
      const { growth, extra } = side.machine.ours;
      assert.deepEqual([growth, extra], [0, 0], 'memory is left after the end');
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

  /** Everything is read: then nobody is stuck. Everything is closed: then nothing may be left. */
  end() {
    for (let round = 0; round < 50; round++) {
      for (const side of this.sides) this.drain(side);
      this.carry(true);
    }
    for (const { sends, machine } of this.sides) {
      const open = sends.filter((end) => end.announced && !end.cancelled && !end.closing);
      assert.ok(open.every(({ large }) => !large), 'a large message that is waited for comes');
      // More than this nobody waits for before a message starts.
      assert.ok(open.every(({ credit }) => credit >= machine.limits.initial_window / 2), 'a sender that stands still');
    }
    for (let round = 0; round < 10; round++) {
      for (const side of this.sides) {
        for (const end of side.sends) this.close(end, 0);
        for (const end of side.streams) this.finish(end);
        this.drain(side);
      }
      this.carry(true);
      this.audit();
    }
    for (const { machine } of this.sides) {
      const { ours, openedHere, openedThere, ids, pendingAccepts, largeOpen, awaited, turns } = machine;
      const sums = [openedHere.count, openedHere.bytes, openedThere.count, openedThere.bytes, ours.growth, ours.extra];
      assert.deepEqual(
        { open: ids.all().length, pendingAccepts, largeOpen, line: awaited.size, turns: turns.length, sums },
        { open: 0, pendingAccepts: 0, largeOpen: 0, line: 0, turns: 0, sums: [0, 0, 0, 0, 0, 0] },
      );
    }
  }

  /** One side says goodbye in the middle, and sometimes both do. */
  sayGoodbye() {
    this.mayEnd = 'closed';
    const [first, second] = this.random.chance(2) ? this.sides : [...this.sides].reverse();
    first.machine.goodbye();
    if (this.random.chance(3)) second.machine.goodbye();
    for (let round = 0; round < 300 && this.sides.some(({ machine }) => !machine.over); round++) {
      for (const side of this.sides) if (!side.machine.over) this.drain(side);
      this.carry(true);
    }
    for (const { machine } of this.sides) assert.equal(machine.over?.why, 'closed');
    this.after(Code.SESSION_CLOSED);
  }

  /** The link ends anywhere. */
  cutLink() {
    this.mayEnd = 'lost';
    this.carry(false);
    for (const side of this.sides) {
      side.machine.eof();
      this.look(side);
    }
    this.after(Code.DISCONNECTED);
  }

  run(steps) {
    this.carry(true);
    this.carry(true);
    for (let i = 0; i < steps; i++) {
      this.step();
      for (const side of this.sides) this.look(side);
      this.audit();
    }
  }
}

test('random commands break no rule and leave nothing', (t) => {
  const random = seeded(t);
  for (let round = 0; round < 30; round++) {
    const world = new World(random);
    world.run(800);
    const how = random.below(4);
    if (how === 0) world.cutLink();
    else if (how === 1) world.sayGoodbye();
    else world.end();
  }
});

/** Ends the link behind so many frames; false when there were not so many. */
function cutBehind(random, frames) {
  const world = new World(random);
  let left = frames;
  const carryFrames = () => {
    world.sides.forEach(({ machine }, at) => {
      let wire = join(machine.output());
      while (wire.length > 0 && left-- > 0) {
        const first = wire[0] === PREFACE[0] && wire[1] === PREFACE[1] && wire[2] === PREFACE[2];
        const size = first ? PREFACE.length : HEADER + (wire[0] << 16 | wire[1] << 8 | wire[2]);
        world.sides[1 - at].machine.input(wire.slice(0, size));
        wire = wire.slice(size);
        world.look(world.sides[1 - at]);
      }
    });
    world.audit();
  };
  world.carry = carryFrames;
  for (let i = 0; i < 500 && left > 0; i++) {
    if (i > 1) world.step();
    carryFrames();
  }
  const cut = left <= 0;
  world.cutLink();
  return cut;
}

test('the link cut behind any frame leaves nothing, and makes no end look clean', (t) => {
  const { seed } = seeded(t);
  let frames = 0;
  // The conversation is the one of the seed each time, up to the cut.
  while (cutBehind(seeded({ diagnostic() {} }, seed), frames)) frames++;
  t.diagnostic(`${frames} frames`);
  assert.ok(frames > 50);
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
        const size = 1 + random.below(500);
        machine.input(bad.subarray(at, at + size));
        at += size;
        const ends = machine.ids.all();
        audit(machine, ends);
        for (const end of ends) if (end instanceof RecvEnd) end.want(2);
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
