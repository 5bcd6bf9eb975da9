// One side of a session as a state machine: bytes and commands in, events and bytes out. It holds no socket and no
// clock; time is an argument, in milliseconds.
//
//     machine.input(bytes); machine.eof(); machine.tick(now)     what happens to it
//     machine.open(..), end.send(..), end.take(), ...            what the application does
//     machine.nextEvent(), machine.output()                      what comes of it: ask for both after each of those
//
// Channel ends and streams have their own files: sending.js, receiving.js, streaming.js. This one holds the session:
// hello, opening, which frame goes where, ping, goodbye, the end.

import { join } from './bytes.js';
import { Clock } from './clock.js';
import { Code, LimitError, ProtocolError } from './codes.js';
import { HEADER, Kind, PREFACE, decodeFrame, decodeHeader, encodeFrame, encodeMetadata } from './frames.js';
import { Ids } from './ids.js';
import { DEFAULT_LIMITS, LOCAL_LIMITS, agreeLimits, saneLimits } from './limits.js';
import { Queue } from './queue.js';
import { RecvEnd } from './receiving.js';
import { SendEnd } from './sending.js';
import { StreamEnd } from './streaming.js';
import { Turns } from './turns.js';
import { Opened, Pool } from './window.js';

const utf8 = new TextEncoder();

export class Machine {
  /** `role`: 'dialer' or 'acceptor'. `metadata`: a list of [key, bytes]. */
  constructor({ role, limits = {}, local = {}, codecs = [1, 2, 0], metadata = [], features = 0, now = 0 }) {
    this.dialer = role === 'dialer';
    this.local = { ...LOCAL_LIMITS, ...local };
    /** What our hello states, and from the peer's hello on what is in force. */
    this.limits = saneLimits({ ...DEFAULT_LIMITS, ...limits });
    this.hello = { t: 'HELLO', id: 0, ...this.limits, codecs, features, metadata };
    /** The peer's hello. */
    this.peer = null;
    /** Codecs that both know, in the dialer's order. */
    this.codecs = [];
    /** How it is over: {why: 'closed' | 'lost' | 'broken' | 'peer', code, text}. */
    this.over = null;

    this.ids = new Ids(this.dialer);
    /** What this side holds beyond first windows; what it has opened, and what the peer has. */
    this.ours = new Pool(this.limits.session_memory);
    this.openedHere = new Opened();
    this.openedThere = new Opened();
    this.pendingAccepts = 0;
    this.due = new Set();
    /** Receiving ends whose large message waits for memory, and a receive for it. */
    this.awaited = new Set();
    this.turns = new Turns();
    /** Large messages that have begun and are not out. */
    this.largeOpen = 0;

    this.events = new Queue();
    this.outQueue = [];
    this.outBytes = 0;
    this.input_ = new Uint8Array(0);
    this.prefaceRead = false;
    this.rejected = [];
    this.goodbyeState = null;
    this.goodbyeReason = null;
    /** A goodbye that does not wait for what has no credit or no turn yet. */
    this.hurries = false;
    this.clock = new Clock(this.local, now);
    /** Control bytes that wait to be written, and those of them that the peer has asked for since the last output. */
    this.unsentControl = 0;
    this.answers = 0;
    this.answering = false;
    this.stuck = false;

    this.#append(PREFACE);
    this.#append(encodeFrame(this.hello));
  }

  // ---- events and output

  /** What happened, oldest first; undefined: nothing more. */
  nextEvent() {
    return this.events.shift();
  }

  emit(type, end, value) {
    this.events.push({ type, end, value });
  }

  /** Whether `output` has something to do. It may give no bytes, but tell somebody that its turn has come. */
  get hasOutput() {
    return this.outBytes > 0 || this.due.size > 0 || this.turns.length > 0 || this.#mayLeave;
  }

  /** All that is to be written now, in chunks. Those whose turn it is may go on. */
  output() {
    this.#flushCredit();
    this.#flushGoodbye();
    const chunks = this.outQueue;
    this.clock.said ||= chunks.length > 0;
    this.outQueue = [];
    this.outBytes = this.unsentControl = this.answers = 0;
    this.stuck = false;
    this.turns.fill(this);
    return chunks;
  }

  /** Whether an end or stream may write now. False: it stands in line, and its turn comes. */
  mayWrite(writer) {
    return this.turns.mayWrite(writer, this.outBytes);
  }

  /** How long a frame it may write now. */
  most(writer) {
    return this.turns.most(writer);
  }

  /** Writes a frame on the writer's turn. */
  writeTurn(writer, frame) {
    this.turns.note(writer, this.write(frame));
  }

  #append(bytes) {
    this.outQueue.push(bytes);
    this.outBytes += bytes.length;
    return bytes.length;
  }

  /** Appends a frame that was charged against credit. */
  write(frame) {
    return this.goodbyeState === 'said' || this.over ? 0 : this.#append(encodeFrame(frame));
  }

  /** Appends a frame that needs no credit. */
  control(frame) {
    const length = this.write(frame);
    this.unsentControl += length;
    if (this.answering) this.answers += length;
  }

  #flushCredit() {
    const due = [...this.due];
    this.due.clear();
    for (const end of due) end.writeCredit();
  }

  // ---- input

  /** Bytes from the peer, cut anywhere. Whatever they are, nothing is thrown: `over` says what was wrong. */
  input(bytes) {
    if (this.over) return;
    this.clock.heard = true;
    this.answering = true;
    this.input_ = this.input_.length > 0 ? join([this.input_, bytes]) : bytes;
    try {
      this.#readFrames();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail('broken', error.code, error.message);
    } finally {
      this.answering = false;
    }
  }

  #readFrames() {
    if (!this.prefaceRead && !this.#readPreface()) return;
    let at = 0;
    while (!this.over) {
      const header = decodeHeader(this.input_, at);
      if (!header) break;
      const most = this.peer ? this.limits.max_frame : this.local.max_hello;
      if (header.length > most) throw new ProtocolError(`a frame of ${header.length} bytes`, Code.FRAME_TOO_LARGE);
      const body = at + HEADER;
      if (this.input_.length < body + header.length) break;
      at = body + header.length;
      this.#onFrame(decodeFrame(header, this.input_.subarray(body, at), this.limits));
      if (this.answers > this.local.max_control) throw new ProtocolError('answers are not read', Code.PEER_NOT_READING);
    }
    // A copy, so that a few bytes do not keep a large buffer.
    this.input_ = this.input_.slice(at);
  }

  #readPreface() {
    const have = Math.min(this.input_.length, PREFACE.length);
    for (let at = 0; at < have; at++) {
      if (this.input_[at] === PREFACE[at]) continue;
      if (at === PREFACE.length - 1) {
        throw new ProtocolError(`the peer speaks version ${this.input_[at]}`, Code.UNSUPPORTED_VERSION);
      }
      throw new ProtocolError('the other side does not speak libchan');
    }
    this.prefaceRead = have === PREFACE.length;
    if (this.prefaceRead) this.input_ = this.input_.subarray(have);
    return this.prefaceRead;
  }

  #onFrame(frame) {
    const { t, id } = frame;
    if (t === 'HELLO') return this.#onHello(frame);
    if (!this.peer && !(t === 'GOODBYE' && frame.code !== Code.NONE)) throw new ProtocolError(`${t} before HELLO`);
    switch (t) {
      case 'UNKNOWN': return;
      case 'PONG': return this.emit('pong', undefined, Clock.numberOf(frame.payload));
      case 'PING': return this.#onPing(frame);
      case 'GOODBYE': return this.#onGoodbye(frame);
      case 'OPEN': return this.#onOpen(frame);
      case 'MESSAGE': return this.#onMessage(frame);
      case 'CREDIT': if (id === 0) return this.#onDescriptorCredit(frame);
    }
    const [type, method] = HANDLERS[t];
    if ((t === 'CREDIT' || t === 'CANCEL') && this.ids.hasCrossed(id)) return;
    const end = this.ids.find(id);
    // A CREDIT is for whoever sends: the sending end of a channel, or a stream.
    const right = type.some((kind) => end instanceof kind);
    if (!right) throw new ProtocolError(`${t} for the wrong end`);
    end[method](frame);
  }

  // ---- hello

  #onHello(frame) {
    if (this.peer) throw new ProtocolError('a second HELLO');
    const [first, second] = this.dialer ? [this.hello, frame] : [frame, this.hello];
    this.codecs = [...new Set(first.codecs)].filter((codec) => second.codecs.includes(codec));
    if (this.codecs.length === 0) throw new ProtocolError('no codec in common', Code.NO_COMMON_CODEC);
    this.limits = agreeLimits(this.limits, frame);
    this.features = this.hello.features & frame.features;
    this.ours = new Pool(this.limits.session_memory);
    this.peer = frame;
    this.emit('established');
  }

  // ---- opening

  /** No new channel and no new message may leave. */
  get isLeaving() {
    return this.over !== null || this.goodbyeState !== null;
  }

  /** Opens a named channel; this side sends. Throws a LimitError. */
  open(name, capacity, metadata = []) {
    const length = 6 + utf8.encode(name).length + encodeMetadata(metadata).length;
    if (length > this.limits.max_frame || length > 6 + 65_535) throw new LimitError(Code.FRAME_TOO_LARGE);
    const end = this.allocateSender(capacity);
    end.announced = true;
    this.control({ t: 'OPEN', id: end.id, capacity, name, metadata });
    return end;
  }

  /** A channel whose receiving end is to go to the peer in a message. `sole`: nobody else receives from it. */
  allocateSender(capacity, sole = true) {
    return this.#allocate(this.limits.initial_window, (id) => new SendEnd(this, id, { own: true, capacity, sole }));
  }

  /** A channel whose sending end is to go to the peer. `waiting`: receives that wait here. */
  allocateReceiver(capacity, { onDemand = false, waiting = 0 } = {}) {
    const make = (id) => new RecvEnd(this, id, { own: true, capacity, onDemand, waiting });
    return this.#allocate(this.limits.initial_window, make);
  }

  /** A stream one end of which is to go to the peer. */
  allocateStream() {
    return this.#allocate(this.limits.stream_window, (id) => new StreamEnd(this, id, { own: true }));
  }

  #allocate(window, make) {
    if (!this.peer || this.isLeaving) throw new LimitError(Code.CLOSED);
    if (this.openedHere.count >= this.limits.max_channels) throw new LimitError(Code.TOO_MANY_CHANNELS);
    if (!this.openedHere.hasMemory(window, this.limits)) throw new LimitError(Code.MEMORY);
    const end = this.ids.insertOwn(make);
    this.openedHere.add(window);
    return end;
  }

  /** Gives up what was allocated and not announced. */
  abandon(end) {
    if (end instanceof StreamEnd) end.abandon();
    else end.finish();
  }

  /** Enters what the peer has opened. */
  #admit(id, window, end) {
    const { max_channels } = this.limits;
    if (this.openedThere.count >= max_channels) throw new ProtocolError('too many channels', Code.TOO_MANY_CHANNELS);
    if (!this.openedThere.hasMemory(window, this.limits)) {
      throw new ProtocolError('the memory for what the peer opens is used up', Code.MEMORY);
    }
    this.ids.insertTheirs(id, end, max_channels);
    this.openedThere.add(window);
    return end;
  }

  /** A channel or stream is finished: it holds nothing any more. */
  forget(end, window) {
    this.ids.remove(end);
    (end.own ? this.openedHere : this.openedThere).remove(window);
    this.due.delete(end);
  }

  #onOpen({ id, name, capacity, metadata }) {
    const end = new RecvEnd(this, id, { own: false, capacity });
    this.#admit(id, this.limits.initial_window, end);
    if (this.pendingAccepts >= this.limits.max_pending_accepts) {
      return end.cancel({ scope: 1, code: Code.ACCEPT_QUEUE_FULL });
    }
    end.opening = { name, capacity, metadata };
    this.pendingAccepts++;
    this.emit('opened', end);
  }

  // ---- messages

  #onMessage(frame) {
    const end = this.ids.find(frame.id);
    if (!(end instanceof RecvEnd)) throw new ProtocolError('MESSAGE for the wrong end');
    // After our CANCEL nothing is counted: what it brings is ended, that is all (CH-19).
    const dropped = end.cancelled;
    if (!dropped) end.admit(frame);
    const attachments = frame.attachments.map((entry) => ({ kind: entry.kind, end: this.#enter(entry), entry }));
    if (dropped) this.reject(attachments);
    else end.onMessage(frame, attachments);
  }

  /** The end that an entry of a table stands for. */
  #enter({ kind, id, capacity, wanted }) {
    const { stream_window, initial_window } = this.limits;
    switch (kind) {
      case Kind.SENDER:
        return this.#admit(id, initial_window, new SendEnd(this, id, { own: false, capacity, wanted }));
      case Kind.RECEIVER: {
        const end = new RecvEnd(this, id, { own: false, capacity, onDemand: wanted === 1 });
        return this.#admit(id, initial_window, end);
      }
      case Kind.STREAM:
        return this.#admit(id, stream_window, new StreamEnd(this, id, { own: false }));
      case Kind.SENDER_HOME: {
        const end = this.ids.find(id);
        if (!(end instanceof RecvEnd)) throw new ProtocolError('a sender comes home to the wrong end');
        end.holds++;
        return end;
      }
      default:
        throw new ProtocolError('a descriptor on a link that passes none', Code.DESCRIPTORS);
    }
  }

  /**
   * Ends attachments that nobody has claimed, and says why. They may hold messages with attachments, as deep as the peer likes:
   * so this is a loop and no recursion.
   */
  reject(attachments, { code = Code.NOT_DELIVERED, text = '' } = {}) {
    const busy = this.rejected.length > 0;
    const why = { scope: 0, code, text };
    for (const attachment of attachments) this.rejected.push([attachment, why]);
    if (busy) return;
    for (let at = 0; at < this.rejected.length; at++) {
      const [{ kind, end }, reason] = this.rejected[at];
      if (kind === Kind.SENDER) end.close(reason);
      else if (kind === Kind.RECEIVER) end.cancel(reason);
      else if (kind === Kind.SENDER_HOME) end.releaseHold();
      else {
        end.end(reason);
        end.stop(reason);
      }
    }
    this.rejected = [];
  }

  #onDescriptorCredit({ taken }) {
    if (taken > 0) throw new ProtocolError('descriptors given back that were not sent', Code.FLOW_CONTROL);
  }

  // ---- memory for large messages

  /** An end stands in line for the memory of its large message, or leaves the line: then the next is served. */
  lineUp(end, stands) {
    if (stands === this.awaited.has(end)) return;
    if (stands) this.awaited.add(end);
    else this.awaited.delete(end);
    this.serveLarge();
  }

  /** First come, first served. */
  serveLarge() {
    for (const end of this.awaited) {
      if (!end.reserve(this.ours)) return;
      this.awaited.delete(end);
    }
  }

  // ---- time

  /** Looks at the clock; every five seconds is enough. */
  tick(now) {
    if (this.over) return;
    const what = this.clock.look(now, this.peer !== null);
    if (what === 'late') return this.#fail('broken', Code.HELLO_TIMEOUT, 'no hello in time');
    if (what === 'silent') return this.#fail('broken', Code.PEER_SILENT, 'the peer is silent');
    // Ours may come in a burst: what has not left since the last look is not read.
    const much = this.unsentControl > this.local.max_control;
    if (much && this.stuck) return this.#fail('broken', Code.PEER_NOT_READING, 'the peer does not read');
    this.stuck = much;
    if (what !== 'ping' || this.goodbyeState) return;
    this.ping();
    this.clock.saidAt = now;
  }

  /** Sends a ping behind what is written already. The event `pong` with its number says that the peer has handled all of it. */
  ping() {
    const payload = this.clock.nextPing();
    this.control({ t: 'PING', id: 0, payload });
    return Clock.numberOf(payload);
  }

  /** Whether something that was sent here waits for its turn, or the rest of a large message for credit. */
  get hasWaiting() {
    return this.largeOpen > 0 || this.turns.length > 0;
  }

  #onPing({ payload }) {
    if (!this.clock.countPing()) throw new ProtocolError('too many pings', Code.PING_FLOOD);
    this.control({ t: 'PONG', id: 0, payload });
  }

  // ---- goodbye and the end

  /** Says goodbye, after what was sent. Nothing follows it. `atOnce`: what has no credit or no turn yet is cut. */
  goodbye({ code = 0, text = '' } = {}, { atOnce = false } = {}) {
    if (this.over || this.goodbyeState === 'said') return;
    if (!this.peer) {
      // Before the peer's hello only a goodbye with a code may leave, and there will be no session (SE-01).
      this.control({ t: 'GOODBYE', id: 0, code: code || Code.UNAVAILABLE, text });
      this.goodbyeState = 'said';
      return this.#fail('closed');
    }
    this.goodbyeState = 'queued';
    this.goodbyeReason ??= { code, text };
    this.hurries ||= atOnce || code !== Code.NONE;
    this.#flushGoodbye();
  }

  get #mayLeave() {
    if (this.goodbyeState !== 'queued' || this.over) return false;
    return this.hurries || !this.hasWaiting;
  }

  #flushGoodbye() {
    if (!this.#mayLeave) return;
    this.#flushCredit();
    this.control({ t: 'GOODBYE', id: 0, ...this.goodbyeReason });
    this.goodbyeState = 'said';
  }

  #onGoodbye({ code, text }) {
    if (code !== Code.NONE) return this.#fail('peer', code, text);
    // Behind what is written already; what is not ended by now is cut on both sides.
    this.control({ t: 'GOODBYE', id: 0, code: Code.NONE, text: '' });
    this.#fail('closed');
  }

  /** The link has ended or failed. */
  eof() {
    if (!this.over) this.#fail('lost', Code.NONE, 'the link ended without a goodbye');
  }

  #fail(why, code = Code.NONE, text = '') {
    if (why === 'broken') {
      this.control({ t: 'GOODBYE', id: 0, code, text });
      this.goodbyeState = 'said';
    }
    this.over = { why, code, text };
    this.input_ = new Uint8Array(0);
    const told = why === 'closed' ? Code.SESSION_CLOSED : Code.DISCONNECTED;
    for (const end of this.ids.all()) end.disconnect(told);
    this.turns.clear();
    this.emit('over', undefined, this.over);
  }
}

/** For whom a frame is, and what it calls there. */
const HANDLERS = {
  FRAGMENT: [[RecvEnd], 'onFragment'],
  CLOSE: [[RecvEnd], 'onClose'],
  CREDIT: [[SendEnd, StreamEnd], 'onCredit'],
  CANCEL: [[SendEnd], 'onCancel'],
  DATA: [[StreamEnd], 'onData'],
  END: [[StreamEnd], 'onEnd'],
  STOP: [[StreamEnd], 'onStop'],
};
