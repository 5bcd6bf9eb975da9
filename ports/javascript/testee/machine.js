// The verbs of the machine: one side of a session without sockets or clocks.

import { join } from '../src/protocol/bytes.js';
import { Code, LimitError, codeName } from '../src/protocol/codes.js';
import { Flag, HELLO_LIMITS, Kind } from '../src/protocol/frames.js';
import { Machine } from '../src/protocol/machine.js';
import { charge } from '../src/protocol/sending.js';
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
    /** Attachments of the last message taken that nobody has claimed, and what they end with. */
    this.unclaimed = [];
    this.why = Code.UNCLAIMED;
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

  event({ type, end }) {
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
      default: return [];
    }
  }

  app(request) {
    const { op } = request;
    if (!Object.hasOwn(OPS, op)) throw new Refusal('NOT_SUPPORTED', op);
    if (op !== 'claim' && this.unclaimed.length > 0) {
      this.machine.reject(this.unclaimed, { code: this.why });
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
    const why = end.blockedFor(charge(message.payload.length, attachments.length, message.headers?.length));
    switch (why) {
      case '': break;
      case 'closed': return { err: 'CLOSED' };
      case 'cancelled': return { err: 'CANCELLED', cancel: end.cancelled };
      default: return { sent: false, blocked: why };
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
const isLost = ({ lost, code }) => lost && code === Code.DISCONNECTED;

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
  send({ id, codec = 0, payload, headers, attachments = [] }) {
    const message = { codec, payload: unhex(payload), ...(headers && { headers: unhex(headers) }) };
    return this.send(this.end(id), message, attachments);
  },
  send_flaw({ id, flaw, text = '' }) {
    return this.send(this.end(id), { codec: 0, flaw: FLAWS[flaw], payload: new Uint8Array(Buffer.from(text)) }, []);
  },
  status({ id }) {
    const { room, demand, untaken, credit: bytes, cancelled } = this.end(id);
    return { room, demand, untaken, bytes, cancel: cancelled && withoutLost(cancelled) };
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
      return isLost(end.ended) ? { lost: true } : { close: withoutLost(end.ended) };
    }
    end.count(1, message.charge);
    const { codec, flaw, headers, payload, attachments } = message;
    this.unclaimed = attachments;
    // What stands in the place of a message brings nothing to claim.
    this.why = flaw ? Code.NOT_DELIVERED : Code.UNCLAIMED;
    if (flaw) return { flaw: flawName(flaw), text: Buffer.from(payload).toString() };
    for (const { end: attached, entry } of attachments) {
      // The id of one that has ended may have been given again, and be known already.
      const known = this.ends.get(entry.id);
      if (entry.kind !== Kind.SENDER_HOME && (!attached.finished || !known || known.finished)) this.ends.set(entry.id, attached);
    }
    const entries = attachments.map(({ entry }) => entry);
    return { message: { codec, payload: hex(payload), ...(headers && { headers: hex(headers) }), attachments: entries } };
  },
  claim({ ids = [] }) {
    for (const { end, entry } of this.unclaimed) {
      if (!ids.includes(entry.id)) continue;
      // A sender that came home is claimed and dropped at once by the tests' application: the hold stays until then.
      if (entry.kind !== Kind.SENDER_HOME) end.accept?.();
    }
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
    if (this.machine.isLeaving) return { err: 'CLOSED' };
    if (end.stopped) return { err: 'STOPPED', ...end.stopped };
    if (end.ending) return { err: 'CLOSED' };
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
    return isLost(end.ended) ? { lost: true } : { end: withoutLost(end.ended) };
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
