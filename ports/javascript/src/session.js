// A session: a machine on a link. It carries bytes and events between the two, and makes legs of what travels.
//
// A link is `{start(handlers), write(chunks), isWritable, close(), abort()}`; the handlers are `onData(bytes)`,
// `onDrain()` and `onEnd(error)`.

import { Channel } from './channel.js';
import { codec as findCodec } from './codecs/index.js';
import { Hold, Receiver, Sender, checkCapacity } from './ends.js';
import { Limit, NameTooLong, SessionError, SessionOver, applicationReason, sessionError } from './errors.js';
import { Farewell } from './farewell.js';
import { Flush } from './flush.js';
import { Source, Target } from './legs.js';
import { Metadata, metadataList } from './metadata.js';
import { Code, LimitError } from './protocol/codes.js';
import { Kind } from './protocol/frames.js';
import { Machine } from './protocol/machine.js';
import { RemoteDuplex, StreamHold } from './stream.js';

/** The machine looks at the clock every so many milliseconds. */
const TICK = 5_000;
/** How long a close waits for what was accepted to leave, and then for the peer's goodbye, in milliseconds. */
const CLOSE_TIMEOUT = 5_000;
const CODECS = ['msgpack', 'json', 'raw'];

const now = () => performance.now();

export class Session {
  #link;
  #flushing = false;
  #incoming = [];
  #acceptWaiters = [];
  #timer;
  #ready;
  #over;
  #going;
  #flush;
  /** It was ended from here, with an error or without a word. */
  #closedHere = false;
  #finished = false;

  /**
   * Not for programs: they call `dial` or `listen`. `options`: {metadata, limits, codecs, closeTimeout}.
   */
  constructor(link, role, { metadata, limits, local, codecs = CODECS, closeTimeout = CLOSE_TIMEOUT, info = {} } = {}) {
    this.machine = new Machine({
      role, limits, local, now: now(), metadata: metadataList(metadata), codecs: codecs.map(codecId),
    });
    this.legs = new Set();
    this.streams = new Set();
    /** What the carrier knows of the peer: `address`, and the `headers` of an http request. */
    this.info = info;
    this.#link = link;
    this.farewell = new Farewell(this, this.machine, closeTimeout, () => this.#finish());
    this.#flush = new Flush(this.machine);
    this.#going = promise();
    this.#ready = promise();
    this.#over = promise();
    link.start({
      onData: (bytes) => { this.machine.input(bytes); this.#work(); },
      onDrain: () => this.#work(),
      onEnd: (error) => { this.linkError = error; this.machine.eof(); this.#work(); },
    });
    this.#timer = setInterval(() => { this.machine.tick(now()); this.#work(); }, TICK);
    // In Node it is the link that keeps the program running.
    this.#timer.unref?.();
    this.touch();
  }

  // ---- for programs

  /** Resolves with the session when the peer's hello is in; rejects if it is over before. */
  get ready() {
    return this.#ready.promise;
  }

  /** Resolves when the peer drains, or the session is over: time to send requests elsewhere. */
  get going() {
    return this.#going.promise;
  }

  /**
   * Resolves when the session is over: with undefined if both sides have said goodbye, else with the error. Its kind is
   * Incomplete if they have, and not all that was accepted here had reached the peer's library.
   */
  get closed() {
    return this.#over.promise;
  }

  /** What the peer says of itself, credentials among it. */
  get metadata() {
    return new Metadata(this.machine.peer?.metadata);
  }

  /** The limits in force. */
  get limits() {
    return this.machine.limits;
  }

  /** Opens a named channel to the peer, which takes it by `accept`. No round trip: messages may follow at once. */
  open(name, { capacity, metadata } = {}) {
    const size = checkCapacity(capacity);
    try {
      const end = this.machine.open(String(name), size, metadataList(metadata));
      this.farewell.named.add(end);
      const channel = new Channel(size);
      const sender = new Sender(new Hold(channel, true));
      channel.addTarget(new Target(this, end, channel));
      this.touch();
      return sender;
    } catch (error) {
      throw openError(error);
    }
  }

  /** The next named channel that the peer has opened, or undefined when none will come any more: the session is over, or drains. */
  async accept() {
    if (this.#incoming.length > 0) return this.#incoming.shift();
    if (this.machine.over || this.farewell.drains) return undefined;
    return new Promise((resolve) => { this.#acceptWaiters.push(resolve); });
  }

  /** Every named channel that the peer opens. */
  async *[Symbol.asyncIterator]() {
    for (let incoming; (incoming = await this.accept());) yield incoming;
  }

  /**
   * Sends what was accepted, says goodbye and waits for the peer's. Ends that this side had ended are clean; what is unfinished
   * ends as SessionClosed on both sides. Resolves when the session is over, however that came about, as `closed` does.
   */
  async close() {
    this.farewell.leave();
    return this.closed;
  }

  /**
   * Takes no more requests, and closes: the named channels that are received here end, their senders see GOING_AWAY, and what
   * nobody has taken comes back to them as not delivered. What was taken may be answered, for so many milliseconds (`within`); what is
   * unfinished then ends as SessionClosed. Resolves as `closed` does.
   */
  async drain({ within }) {
    if (!(within >= 0)) throw new RangeError(`drain needs { within }, a time in milliseconds, and not ${within}`);
    this.farewell.drain(within);
    this.#incoming.length = 0;
    this.#acceptNoMore();
    return this.closed;
  }

  /**
   * Resolves when the peer's library has all that was accepted here before the call, what waits for credit included. It says
   * nothing of the application there. Rejects with the SessionError if the session is over before.
   */
  async flush() {
    if (this.machine.over) throw this.#error ?? sessionError(this.machine.over);
    const flushed = this.#flush.ask();
    this.touch();
    return flushed;
  }

  /** Ends the session with an error for the peer. `code`: the application's, 0 to 65,279. */
  async closeWith(code, text) {
    this.#closedHere = true;
    this.farewell.skip();
    this.machine.goodbye(applicationReason(code, text), { atOnce: true });
    this.#work();
    this.#finish();
    await this.closed;
  }

  /** Drops the link without a goodbye: the peer's session is lost, and so is this one. */
  abort() {
    this.#closedHere = true;
    this.#link.abort();
    this.machine.eof();
    this.#work();
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }

  // ---- for legs and parcels

  /** What values are encoded with. */
  get codec() {
    return findCodec(this.machine.codecs.find((id) => findCodec(id))) ?? findCodec(0);
  }

  /** Something was done to the machine: what comes of it leaves with what else is done in this turn. */
  touch() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#work();
    });
  }

  /** The peer has said that it takes no more requests. */
  peerIsGoing() {
    this.#going.resolve();
  }

  /**
   * An end in a message that leaves: `attach` is what the machine sends, `begin` makes the leg once it has. `keeps`: the message may
   * go to another, so nothing is sent to a receiver in it that nobody there has asked for.
   */
  bind(hold, keeps) {
    const { machine } = this;
    if (hold instanceof StreamHold) {
      const attach = machine.allocateStream();
      // What was read of it before is its reader's.
      hold.duplex.passed?.();
      return { hold, attach, isStream: true, begin: () => hold.travel(new RemoteDuplex(this, attach)) };
    }
    const { channel } = hold;
    if (hold.sending) {
      const attach = machine.allocateReceiver(channel.capacity, { waiting: channel.demand });
      return { attach, begin: () => channel.addSource(new Source(this, attach, channel)) };
    }
    const attach = machine.allocateSender(channel.capacity, !keeps && channel.isSoleReceiver());
    return { attach, begin: () => channel.addTarget(new Target(this, attach, channel)) };
  }

  /** What an attachment of a message that has arrived is here. */
  adopt({ kind, end }) {
    switch (kind) {
      case Kind.SENDER: {
        const channel = new Channel(end.capacity);
        const hold = new Hold(channel, true);
        channel.addTarget(new Target(this, end, channel));
        return hold;
      }
      case Kind.RECEIVER: {
        end.accept();
        return new Hold(this.#channelOf(end), false);
      }
      case Kind.SENDER_HOME: {
        const hold = new Hold(end ? this.#channelOf(end) : ended(), true);
        end?.releaseHold();
        return hold;
      }
      default: return new StreamHold(new RemoteDuplex(this, end));
    }
  }

  /** The channel that a receiving end belongs to: a sender may come home before its receiver was looked at. */
  #channelOf(end) {
    if (!end.leg) {
      const channel = new Channel(end.capacity);
      channel.addSource(new Source(this, end, channel));
    }
    return end.leg.channel;
  }

  // ---- events and bytes

  /** Handles what has happened and writes what is to be written, until there is nothing of either. */
  #work() {
    const { machine } = this;
    do {
      for (let event; (event = machine.nextEvent());) this.#on(event);
      this.farewell.step();
      if (this.#flush.isAsked && !machine.hasWaiting && this.farewell.isFlushed) this.#flush.ping(now());
      if (!machine.hasOutput || !this.#link.isWritable) break;
      this.#link.write(machine.output());
    } while (machine.events.length > 0 || machine.hasOutput);
    // The last goodbye still goes out; to a peer that does not read, once if it can.
    if (machine.over && (machine.over.why !== 'closed' || !machine.hasOutput)) this.#finish();
  }

  #on({ type, end, value }) {
    switch (type) {
      case 'established': return this.#ready.resolve(this);
      case 'opened': return this.#opened(end);
      case 'readable': return end.leg?.onReadable();
      case 'writable': return end.leg?.onWritable();
      case 'taken': return end.leg?.onTaken(value);
      case 'cancelled': return end.leg?.onCancelled(end.cancelled, end.cancelled.lost === true);
      case 'stream-readable': return end.duplex?.onReadable();
      case 'stream-writable': return end.duplex?.onWritable();
      case 'pong': return this.#flush.onPong(value);
      case 'over': for (const leg of this.legs) leg.onOver?.();
    }
  }

  #opened(end) {
    if (this.farewell.refuses(end)) return;
    const incoming = new Incoming(this, end, new Hold(this.#channelOf(end), false));
    const waiter = this.#acceptWaiters.shift();
    if (waiter) waiter(incoming);
    else this.#incoming.push(incoming);
  }

  // ---- the end

  /** Nothing is left but to close the link and to tell who waits. */
  #finish() {
    if (this.#finished) return;
    this.#finished = true;
    const { machine } = this;
    clearInterval(this.#timer);
    this.farewell.stop();
    machine.eof();
    this.#link.close(machine.over.why);
    for (let event; (event = machine.nextEvent());) this.#on(event);
    this.#acceptNoMore();
    const error = this.#error;
    if (error && this.linkError) error.cause = this.linkError;
    this.#ready.reject(error ?? sessionError({ why: 'closed' }));
    this.#flush.fail(error ?? sessionError(machine.over));
    this.#going.resolve();
    this.#over.resolve(error);
  }

  #acceptNoMore() {
    for (const waiter of this.#acceptWaiters.splice(0)) waiter(undefined);
  }

  /** Why the session is over; undefined if in good order, with nothing left behind. */
  get #error() {
    const { over } = this.machine;
    if (this.#closedHere) return undefined;
    if (over.why !== 'closed') return sessionError(over);
    return this.farewell.isCut ? new SessionError('Incomplete', 'the session was closed before the peer had all that was accepted') : undefined;
  }
}

/** A named channel that the peer has opened. */
export class Incoming {
  #session;
  #end;
  #hold;

  constructor(session, end, hold) {
    this.#session = session;
    this.#end = end;
    this.#hold = hold;
    const { name, capacity, metadata } = end.opening;
    this.name = name;
    this.capacity = capacity;
    /** What was said with it. */
    this.metadata = new Metadata(metadata);
  }

  /** Accepts the channel and gives its receiving end. */
  receive() {
    return new Receiver(this.#take());
  }

  /** Refuses the channel; its sender gets this. `code`: the application's, 0 to 65,279; without one it is REFUSED. */
  refuse(code, text = '') {
    const reason = code === undefined ? { scope: 1, code: Code.REFUSED, text } : applicationReason(code, text);
    const hold = this.#take();
    hold.channel.cancel(reason);
    hold.release();
  }

  #take() {
    const hold = this.#hold;
    if (!hold) throw new SessionOver(`the channel ${JSON.stringify(this.name)} was accepted or refused before`);
    this.#hold = null;
    this.#end.accept();
    this.#session.touch();
    return hold;
  }
}

/** The channel of a sender that comes home after its receiver has left. */
function ended() {
  const channel = new Channel(1);
  channel.cancel({ scope: 0, code: Code.NONE, text: '' });
  return channel;
}

function codecId(name) {
  const known = findCodec(name);
  if (!known) throw new RangeError(`the codec ${name} is not known: there are msgpack, json and raw`);
  return known.id;
}

function openError(error) {
  if (!(error instanceof LimitError)) return error;
  if (error.code === Code.CLOSED) return new SessionOver('the session is over or closing');
  if (error.code === Code.FRAME_TOO_LARGE) return new NameTooLong('the name and metadata do not fit a frame');
  return new Limit(`no channel can be opened: ${error.message}`);
}

function promise() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  // Nobody needs to look at it.
  made.promise.catch(() => {});
  return made;
}
