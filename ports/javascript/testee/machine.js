// The verbs of the machine: one side of a session without sockets or clocks.

import { join } from '../src/protocol/bytes.js';
import { Code, LimitError, codeName } from '../src/protocol/codes.js';
import { Flag, HELLO_LIMITS, Kind } from '../src/protocol/frames.js';
import { Machine } from '../src/protocol/machine.js';
import { metadataFromJson, metadataToJson } from './frames.js';
import { Refusal, hex, unhex } from './refusal.js';

const FLAWS = { not_encoded: Flag.NOT_ENCODED, not_forwarded: Flag.NOT_FORWARDED };
const flawName = (flaw) => Object.keys(FLAWS).find((name) => FLAWS[name] === flaw);

export function overToJson(over) {
  if (!over) return null;
  const { why, code, text } = over;
  if (why === 'broken') return { why, code: codeName(code) };
  return why === 'peer' ? { why, code: codeName(code), text } : { why };
}

/** A machine and the ends that the runner knows by their ids. */
class Subject {
  constructor({ role, hello = {}, local = {} }) {
    if (hello.max_descriptors > 0) throw new Refusal('NOT_SUPPORTED', 'descriptors');
    const { codecs = [1, 2, 3, 0], features = 0, metadata, ...limits } = hello;
    this.machine = new Machine({ role, limits, local, codecs, features, metadata: metadataFromJson(metadata) });
    this.ends = new Map();
    /** Attachments of the last message taken that nobody has claimed. */
    this.unclaimed = [];
  }

  end(id) {
    const end = this.ends.get(id);
    if (!end) throw new Refusal('NO_SUCH_ID', String(id));
    return end;
  }

  /** What came of it. */
  reply(gives) {
    const { machine } = this;
    const events = [];
    const chunks = [];
    do {
      for (let event; (event = machine.nextEvent());) events.push(...this.event(event));
      chunks.push(...machine.output());
    } while (machine.hasOutput || machine.events.length > 0);
    const out = hex(chunks.length > 0 ? join(chunks) : []);
    return { out, events, over: overToJson(machine.over), ...(gives && { gives }) };
  }

  event({ type, end, value }) {
    const { machine } = this;
    switch (type) {
      case 'established': {
        const limits = Object.fromEntries(HELLO_LIMITS.map((name) => [name, machine.limits[name]]));
        return [{ event: 'established', limits, codecs: machine.codecs, metadata: metadataToJson(machine.peer.metadata) }];
      }
      case 'opened': {
        this.ends.set(end.id, end);
        const { name, capacity, metadata } = end.opening;
        return [{ event: 'opened', id: end.id, name, capacity, metadata: metadataToJson(metadata) }];
      }
      case 'goodbye': return [{ event: 'goodbye', ...value }];
      case 'over': return value.why === 'peer' ? [{ event: 'goodbye', code: value.code, text: value.text }] : [];
      default: return [];
    }
  }

  app(request) {
    const { op } = request;
    if (!Object.hasOwn(OPS, op)) throw new Refusal('NOT_SUPPORTED', op);
    if (op !== 'claim' && this.unclaimed.length > 0) {
      this.machine.reject(this.unclaimed);
      this.unclaimed = [];
    }
    return OPS[op].call(this, request);
  }

  /** An allocated end for an attachment that leaves. */
  allocate({ kind, capacity = 0, waiting = 0, demand = false, id }) {
    switch (kind) {
      case Kind.SENDER: return this.machine.allocateReceiver(capacity, { waiting });
      case Kind.RECEIVER: return this.machine.allocateSender(capacity, !demand);
      case Kind.STREAM: return this.machine.allocateStream();
      case Kind.SENDER_HOME: return { home: this.end(id) };
      default: throw new Refusal('NOT_SUPPORTED', `an attachment of kind ${kind}`);
    }
  }

  send(end, message, attachments) {
    const { max_message, max_attachments } = this.machine.limits;
    if (message.payload.length > max_message) return { err: 'MESSAGE_TOO_LARGE' };
    if (attachments.length > max_attachments) return { err: 'TOO_MANY_ATTACHMENTS' };
    switch (end.blocked) {
      case '': break;
      case 'closed': return { err: 'CLOSED' };
      case 'cancelled': return { err: 'CANCELLED', cancel: end.cancelled };
      default: return { sent: false, blocked: end.blocked };
    }
    const bound = [];
    try {
      for (const attachment of attachments) bound.push(this.allocate(attachment));
    } catch (error) {
      for (const made of bound) if (!made.home) this.machine.abandon(made);
      return limitToJson(error);
    }
    end.send({ ...message, attachments: bound });
    for (const made of bound) if (!made.home) this.ends.set(made.id, made);
    return { sent: true, ids: bound.map((made) => (made.home ? null : made.id)) };
  }
}

function limitToJson(error) {
  if (!(error instanceof LimitError)) throw error;
  return { err: error.code === Code.FRAME_TOO_LARGE ? 'NAME_TOO_LONG' : codeName(error.code) };
}

const reasonOf = ({ scope = 0, code = 0, text = '' }) => ({ scope, code, text });
const withoutLost = ({ lost, ...reason }) => reason;

/** The operations of an application; `this` is a Subject. */
const OPS = {
  open({ name, capacity = 0, metadata }) {
    try {
      const end = this.machine.open(name, capacity, metadataFromJson(metadata));
      this.ends.set(end.id, end);
      return { id: end.id };
    } catch (error) {
      return limitToJson(error);
    }
  },
  accept({ id }) {
    this.end(id).accept();
    return {};
  },
  refuse({ id, ...reason }) {
    this.end(id).cancel({ ...reasonOf(reason), scope: 1 });
    return {};
  },
  send({ id, codec = 0, payload, attachments = [] }) {
    return this.send(this.end(id), { codec, payload: unhex(payload) }, attachments);
  },
  send_flaw({ id, flaw, text = '' }) {
    return this.send(this.end(id), { codec: 0, flaw: FLAWS[flaw], payload: new Uint8Array(Buffer.from(text)) }, []);
  },
  status({ id }) {
    const { room, demand, untaken, credit: bytes, cancelled: cancel } = this.end(id);
    return { room, demand, untaken, bytes, cancel };
  },
  waiting({ id, receives = 0 }) {
    this.end(id).want(receives);
    return {};
  },
  take({ id }) {
    const end = this.end(id);
    const message = end.take();
    if (!message) {
      if (!end.ended) return { empty: true };
      return end.ended.lost ? { lost: true } : { close: withoutLost(end.ended) };
    }
    end.count(1, message.charge);
    const { codec, flaw, payload, attachments } = message;
    this.unclaimed = attachments;
    if (flaw) return { flaw: flawName(flaw), text: Buffer.from(payload).toString() };
    for (const { end: attached, entry } of attachments) if (attached && entry.kind !== Kind.SENDER_HOME) this.ends.set(entry.id, attached);
    return { message: { codec, payload: hex(payload), attachments: attachments.map(({ entry }) => entry) } };
  },
  claim({ ids = [] }) {
    for (const { end, entry } of this.unclaimed) if (ids.includes(entry.id)) end?.accept?.();
    this.unclaimed = this.unclaimed.filter(({ entry }) => !ids.includes(entry.id));
    return {};
  },
  close({ id, ...reason }) {
    this.end(id).close(reasonOf(reason));
    return {};
  },
  cancel({ id, ...reason }) {
    this.end(id).cancel(reasonOf(reason));
    return {};
  },
  write({ id, payload }) {
    const end = this.end(id);
    if (end.ending || this.machine.isLeaving) return { err: 'CLOSED' };
    if (end.stopped) return { err: 'STOPPED', ...withoutLost(end.stopped) };
    return { taken: end.write(unhex(payload)) };
  },
  end({ id, ...reason }) {
    this.end(id).end(reasonOf(reason));
    return {};
  },
  read({ id, max = Infinity }) {
    const end = this.end(id);
    const parts = [];
    for (let part, left = max; left > 0 && (part = end.read(left)); left -= part.length) parts.push(part);
    if (parts.length > 0) return { payload: hex(join(parts)) };
    if (!end.ended) return { empty: true };
    return end.ended.lost ? { lost: true } : { end: withoutLost(end.ended) };
  },
  stop({ id, ...reason }) {
    this.end(id).stop(reasonOf(reason));
    return {};
  },
  goodbye(reason) {
    this.machine.goodbye(reasonOf(reason));
    return {};
  },
};

export function machineVerbs() {
  const subjects = new Map();
  const subject = (m) => {
    if (!subjects.has(m)) throw new Refusal('NO_SUCH_ID', `machine ${m}`);
    return subjects.get(m);
  };
  const after = (m, does) => {
    const gives = does(subject(m));
    return subject(m).reply(gives);
  };
  return {
    'machine.new'({ m, ...options }) {
      subjects.set(m, new Subject(options));
      return subject(m).reply();
    },
    'machine.recv': ({ m, hex: text }) => after(m, ({ machine }) => machine.input(unhex(text))),
    'machine.eof': ({ m }) => after(m, ({ machine }) => machine.eof()),
    'machine.tick': ({ m, now }) => after(m, ({ machine }) => machine.tick(now)),
    'machine.app': ({ m, ...request }) => after(m, (it) => it.app(request)),
    'machine.drop'({ m }) {
      subjects.delete(m);
      return {};
    },
  };
}
