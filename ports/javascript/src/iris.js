// Iris for pages, and for Node: requests to clusters, and topics, through a relay. What is said to it is in spec/iris.md.
//
// A page asks, tells and hears; services are not here. `Connection` stands on a session of this library and on nothing else.

import { bytesOf } from './codecs/build.js';
import { msgpack } from './codecs/index.js';
import { dial } from './dial.js';
import { pipe } from './ends.js';
import { Closed, Disconnected, LibchanError, NameTooLong, Refused, Remote, SessionClosed, SessionError } from './errors.js';
import { Parcel, TRAVELS } from './parcel.js';
import { Code } from './protocol/codes.js';

/** Asks that wait for the relay. */
const ASKS = 1_024;
/** A relay takes 4,096 requests of an application; the sender of a channel hears late of what was taken. */
const ANSWERS = 2 * 4_096;
/** Posts and subscriptions that wait for the relay, of each. */
const CAPACITY = 256;
/** What may wait for a subscription that does not read. */
const EVENTS = 1_024;
const EVENT_BYTES = 64 * 1_048_576;
/** The longest that a timer of JavaScript can be set for, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/**
 * Why a request, post or subscription came to nothing. `reason`: Timeout, Closed, Remote, NoMember, Busy, Lost, Refused, Local or
 * NotDecoded. `text`: what the handler (Remote) or the relay (Refused) said.
 */
export class IrisError extends LibchanError {
  constructor(reason, text = '', cause) {
    super(TEXTS[reason](text), cause && { cause });
    this.reason = reason;
    this.text = text;
  }

  /** Whether no handler has seen the request, so that asking again cannot run it twice. */
  get isSafeToRetry() {
    return SAFE.has(this.reason);
  }
}

const SAFE = new Set(['Closed', 'NoMember', 'Busy', 'Refused', 'Local']);
const TEXTS = {
  Timeout: () => 'no answer came in time; the handler may have run',
  Closed: (text) => text || 'the connection to the relay is closed',
  Remote: (text) => `the handler failed: ${text}`,
  NoMember: () => 'the cluster has no member',
  Busy: () => 'the cluster has no room for the request now; try again later',
  Lost: () => 'the member that had the request, or the relay, is gone; the handler may have run',
  Refused: (text) => `the relay refuses it: ${text}`,
  Local: (text) => text,
  NotDecoded: (text) => `it came and does not decode: ${text}`,
};

// ---- bodies: [codec, bytes, ends]

/** A value on its way in a message: its ends are taken from it until it is sent. */
class Outgoing {
  #parcel;

  constructor(value) {
    this.#parcel = new Parcel({ value: value === undefined ? null : value });
    try {
      this.#parcel.encode();
    } catch (error) {
      throw new IrisError('Local', error.message, error);
    }
    const { payload, holds } = this.#parcel.wire;
    this.ends = holds.map((hold) => hold.toHandle());
    this.wire = [msgpack.id, payload, this.ends];
  }

  /** It was sent: further handles of an end that goes once are given up. */
  sent() {
    for (const hold of this.#parcel.wire.spare) hold.release();
  }

  /** It was not sent: the value has its ends again. */
  restore() {
    for (const end of this.ends) if (!end[TRAVELS].inspect().why) end[TRAVELS].detach();
    this.#parcel.restore();
  }
}

/** What came as a body; null if it is none. Read it or drop it. */
function arrived(raw) {
  if (!Array.isArray(raw) || raw.length !== 3 || !Number.isInteger(raw[0]) || !Array.isArray(raw[2])) return null;
  const payload = bytesOf(raw[1]);
  if (!payload || !raw[2].every((end) => end?.[TRAVELS])) return null;
  const holds = raw[2].map((end) => end[TRAVELS].detach());
  return new Parcel({ wire: { codec: raw[0], flaw: 0, payload, holds, spare: [] } });
}

function read(parcel) {
  try {
    return parcel.open();
  } catch (error) {
    throw new IrisError('NotDecoded', error.message, error);
  }
}

/** Ends the ends in what nobody can use. */
function discard(raw) {
  msgpack.encode(raw, (item) => {
    if (!item?.[TRAVELS]) return -1;
    if (!item[TRAVELS].inspect().why) item[TRAVELS].detach().release({ code: Code.NOT_DECODED, text: 'no message of Iris' });
    return 0;
  });
}

/** A variant: `[name, content]`. */
function variant(raw) {
  if (typeof raw === 'string') return [raw];
  const entries = raw && typeof raw === 'object' && !(raw instanceof Map) ? Object.entries(raw) : [];
  return entries.length === 1 ? entries[0] : [];
}

/** What a verdict comes to: the parcel of a reply, or an error. */
function judged(verdict) {
  const [name, content] = variant(verdict);
  const body = name === 'Ok' || name === 'Fault' ? arrived(content) : null;
  if (name === 'Ok' && body) return body;
  if (name === 'Fault' && body) {
    body.drop();
    return new IrisError('Remote', new TextDecoder().decode(body.wire.payload));
  }
  if (name === 'Refused' && typeof content === 'string') return new IrisError('Refused', content);
  if (['Timeout', 'NoMember', 'Busy', 'Lost'].includes(name)) return new IrisError(name);
  if (name === 'Going') return new IrisError('Closed', 'the relay is going away, and has not taken the request');
  discard(verdict);
  return new IrisError('NotDecoded', 'the relay gives an answer that is not known here');
}

/** What a failed send to the relay means. */
function notSent(error) {
  if (error instanceof IrisError) return error;
  if (error instanceof Refused) return new IrisError('Refused', error.text || error.message, error);
  if (error instanceof Disconnected || error instanceof SessionClosed) {
    return new IrisError(error.outcomeUnknown ? 'Lost' : 'Closed', '', error);
  }
  if (error instanceof Closed) return new IrisError('Closed', '', error);
  return error instanceof LibchanError ? new IrisError('Local', error.message, error) : error;
}

/** Whether a receive that failed so was the last one. */
const isEnd = (error) => error instanceof Remote || error instanceof Disconnected || error instanceof SessionClosed;

// ---- requests

/** A connection's requests: one pair of channels for all of them, and a number for each. */
class Requests {
  #asks;
  #next = 0;
  #pending = new Map();
  #over = false;

  constructor(opened) {
    const [asks, theirs] = pipe({ capacity: ASKS });
    const [answersIn, answers] = pipe({ capacity: ANSWERS });
    this.#asks = asks;
    // Where it is not sent, the answers end, and that says it.
    opened.send({ asks: theirs, answers: answersIn }).catch(() => { theirs.drop(); answersIn.drop(); });
    opened.drop();
    this.#dispatch(answers);
  }

  async #dispatch(answers) {
    for (;;) {
      try {
        const raw = await answers.recv();
        if (raw === undefined) break;
        this.#handOver(raw);
      } catch (error) {
        // Else it is one answer that does not decode: its request runs into its deadline.
        if (isEnd(error)) break;
      }
    }
    this.#over = true;
    answers.drop();
    for (const { resolve } of this.#pending.values()) resolve(new IrisError('Lost'));
    this.#pending.clear();
  }

  #handOver(raw) {
    const [number, verdict] = Array.isArray(raw) && raw.length === 2 ? raw : [];
    if (!Number.isInteger(number)) return discard(raw);
    const found = judged(verdict);
    const waiting = this.#pending.get(number);
    this.#pending.delete(number);
    if (waiting) waiting.resolve(found);
    // Its caller has gone meanwhile.
    else if (found instanceof Parcel) found.drop();
  }

  /** The parcel of the reply. `signal`: gives it up. */
  async ask(cluster, body, left, wait, signal) {
    if (this.#over) {
      body.restore();
      throw new IrisError('Closed');
    }
    const number = this.#next++;
    try {
      await this.#asks.send({ Request: [number, cluster, left, wait, body.wire] }, { signal });
    } catch (error) {
      body.restore();
      throw notSent(error);
    }
    body.sent();
    const found = await this.#answer(number, signal);
    if (found instanceof Parcel) return found;
    throw found;
  }

  #answer(number, signal) {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#pending.delete(number);
        // Where it fails the relay is gone, and the request with it.
        this.#asks.send({ Cancel: number }).catch(() => {});
        reject(signal.reason);
      };
      if (this.#over) return resolve(new IrisError('Lost'));
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort);
      this.#pending.set(number, {
        resolve(found) {
          signal.removeEventListener('abort', abort);
          resolve(found);
        },
      });
    });
  }
}

// ---- what a program holds

/** Dials a relay at a `ws:` or `wss:` URL; options as for `dial`. Rejects with an IrisError: Refused or Local. */
export async function connect(url, options) {
  try {
    return new Connection(await dial(url, options));
  } catch (error) {
    if (!(error instanceof LibchanError) && !(error instanceof TypeError)) throw error;
    const refused = error instanceof SessionError && error.kind === 'PeerClosed';
    throw new IrisError(refused ? 'Refused' : 'Local', error.message, error);
  }
}

/** An application's connection to a relay. */
export class Connection {
  #requests;
  #lines = new Map();

  /** Over a session that is there already: its other channels are unharmed. */
  constructor(session) {
    this.session = session;
  }

  /**
   * Asks a member of the cluster, and gives its reply. `within`: milliseconds, for all of it. `wait`: for a member where there is
   * none; false: NoMember at once. Value and reply may hold channel ends and byte streams, which work between this program and
   * the handler.
   *
   * Rejects with an IrisError; with the signal's reason where that gives it up, and then the request is cancelled wherever it is.
   */
  async request(cluster, value, { within, wait = true, signal } = {}) {
    if (!(within > 0)) throw new IrisError('Local', `within is a number of milliseconds above 0, not ${within}`);
    signal?.throwIfAborted();
    const body = new Outgoing(value);
    const ended = new AbortController();
    let late = false;
    const timer = setTimeout(() => { late = true; ended.abort(); }, Math.min(within, LONGEST));
    const giveUp = () => ended.abort(signal.reason);
    signal?.addEventListener('abort', giveUp);
    try {
      const left = Math.ceil(Math.min(within, Number.MAX_SAFE_INTEGER));
      return read(await this.#asking(body).ask(named(cluster, body), body, left, Boolean(wait), ended.signal));
    } catch (error) {
      throw late && error === ended.signal.reason ? new IrisError('Timeout') : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** Tells every member of the cluster. Done when the relay has room for it; a member that has none loses it. */
  broadcast(cluster, value, options) {
    return this.#post('Broadcast', cluster, value, options);
  }

  /** Tells every subscription of the topic. Done when the relay has room for it; one that reads too slowly loses it. */
  publish(topic, value, options) {
    return this.#post('Publish', topic, value, options);
  }

  async #post(kind, name, value, { signal } = {}) {
    const body = new Outgoing(value);
    try {
      if (body.ends.length > 0) {
        throw new IrisError('Local', `the value holds ${body.ends.length} channel ends or streams, which cannot go to many`);
      }
      await this.#line('iris/1/posts').send({ [kind]: [named(name), body.wire] }, { signal });
    } catch (error) {
      body.restore();
      throw notSent(error);
    }
  }

  /**
   * Subscribes to a topic: in force when it resolves. `events`, `bytes`: what may wait before further events are lost; 1,024 and
   * 64 MiB.
   */
  async subscribe(topic, { events = EVENTS, bytes = EVENT_BYTES, signal } = {}) {
    if (!(Number.isSafeInteger(events) && events > 0 && Number.isSafeInteger(bytes) && bytes > 0)) {
      throw new IrisError('Local', `events and bytes are whole numbers from 1 on, not ${events} and ${bytes}`);
    }
    const [theirs, found] = pipe({ capacity: events });
    const [ready, answer] = pipe({ capacity: 1 });
    try {
      await this.#line('iris/1/subscribe').send({ topic: named(topic), bytes, events: theirs, ready }, { signal });
      const said = await answer.recv({ signal }).catch((error) => { throw signal?.aborted ? error : new IrisError('Closed', '', error); });
      const [name, why] = variant(said);
      if (name === 'Err') throw new IrisError('Refused', String(why));
      if (name !== 'Ok') throw new IrisError('Closed');
      return new Subscription(topic, found);
    } catch (error) {
      found.drop();
      throw notSent(error);
    } finally {
      answer.drop();
      theirs.drop();
      ready.drop();
    }
  }

  /** Sends what was posted, then leaves the relay. Requests under way end as Lost. */
  close() {
    return this.session.close();
  }

  #asking(body) {
    try {
      this.#requests ??= new Requests(this.session.open('iris/1/requests'));
      return this.#requests;
    } catch (error) {
      body.restore();
      throw new IrisError('Closed', '', error);
    }
  }

  /** A named channel, opened when it is first used. */
  #line(name) {
    try {
      if (!this.#lines.has(name)) this.#lines.set(name, this.session.open(name, { capacity: CAPACITY }));
      return this.#lines.get(name);
    } catch (error) {
      throw error instanceof NameTooLong ? error : new IrisError('Closed', '', error);
    }
  }
}

function named(name, body) {
  if (typeof name === 'string') return name;
  body?.restore();
  throw new IrisError('Local', `the name of a cluster or topic is a text, not ${name}`);
}

/** What is published under a topic: `for await (const event of subscription)`. `drop` unsubscribes; leaving the loop does not. */
export class Subscription {
  #events;
  #lost = 0;

  constructor(topic, events) {
    this.topic = topic;
    this.#events = events;
  }

  /** How many events were lost because they did not fit, before the last one that was read. */
  get lost() {
    return this.#lost;
  }

  /**
   * The next event; undefined where the subscription was ended. Rejects with an IrisError: NotDecoded (the next one is unharmed), or
   * Lost, when the relay is gone. An abort loses nothing.
   */
  async next({ signal } = {}) {
    let raw;
    try {
      raw = await this.#events.recv({ signal });
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw error;
      throw isEnd(error) ? new IrisError('Lost', '', error) : new IrisError('NotDecoded', error.message, error);
    }
    if (raw === undefined) return undefined;
    const [lost, told] = Array.isArray(raw) && raw.length === 2 ? raw : [];
    const body = Number.isInteger(lost) ? arrived(told) : null;
    if (!body) {
      discard(raw);
      throw new IrisError('NotDecoded', 'no event');
    }
    this.#lost = lost;
    return read(body);
  }

  [Symbol.asyncIterator]() {
    return {
      next: async () => {
        const value = await this.next();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async (value) => ({ done: true, value }),
      [Symbol.asyncIterator]() { return this; },
    };
  }

  /** Unsubscribes: what waits is lost. */
  drop() {
    this.#events.drop();
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.drop();
  }
}
