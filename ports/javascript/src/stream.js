// ByteStream: a two-way pipe of bytes with half-close, which travels in messages.
//
// A stream stands on a duplex: {read, write, end, stop}. Here a pair of them in memory (`LocalDuplex`), and one at the
// end of a session's stream (`RemoteDuplex`). Where an end has travelled, two loops copy between the two.

import { AttachmentInUse, Closed, SessionClosed, applicationReason, endError } from './errors.js';
import { TRAVELS } from './parcel.js';
import { Code } from './protocol/codes.js';
import { Queue } from './protocol/queue.js';

const CLEAN = { code: Code.NONE, text: '' };
/** What a direction of a local pair holds, in bytes, before writes wait. */
const LOCAL_WINDOW = 65_536;
const utf8 = new TextEncoder();

const ABANDONED = { code: Code.ABANDONED, text: '' };
const FORGOTTEN = { code: Code.ABANDONED, text: 'its holder forgot it' };

/** A stream that the garbage collector finds ends cleanly in no direction. */
const forgotten = new FinalizationRegistry((hold) => hold.release(FORGOTTEN));

/** The writer of a direction hears this when nobody reads it any more. */
const stoppedError = (reason) => endError(reason) ?? new Closed();

/** One direction in memory. */
class BytePipe {
  chunks = new Queue();
  size = 0;
  ended = null;
  stopped = null;
  /** What was read last is in the hands of who carries it on. */
  passing = false;
  wakeReader = null;
  wakeWriters = [];
  /** Writes one after the other, and the end behind them. */
  writing = Promise.resolve();

  async read(max = Infinity) {
    for (;;) {
      if (this.stopped) return null;
      const chunk = this.chunks.shift();
      if (chunk) {
        if (chunk.length > max) this.chunks.unshift(chunk.subarray(max));
        const part = chunk.subarray(0, max);
        this.size -= part.length;
        this.passing = true;
        this.#wakeWriters();
        return part;
      }
      if (this.ended) {
        const error = endError(this.ended);
        if (error) throw error;
        return null;
      }
      await new Promise((resolve) => { this.wakeReader = resolve; });
    }
  }

  write(bytes) {
    const copy = bytes.slice();
    const written = this.writing.then(() => this.#write(copy));
    this.writing = written.catch(() => {});
    return written;
  }

  async #write(bytes) {
    for (let rest = bytes; ;) {
      if (this.stopped) throw stoppedError(this.stopped);
      if (this.ended) throw new AttachmentInUse('this direction of the stream was ended');
      const part = rest.subarray(0, Math.max(LOCAL_WINDOW - this.size, 0));
      if (part.length > 0) {
        this.chunks.push(part);
        this.size += part.length;
        this.wakeReader?.();
      }
      rest = rest.subarray(part.length);
      if (rest.length === 0) return;
      await new Promise((resolve) => { this.wakeWriters.push(resolve); });
    }
  }

  end(reason) {
    this.writing = this.writing.then(() => {
      this.ended ??= reason;
      this.wakeReader?.();
    });
  }

  stop(reason) {
    this.stopped ??= reason;
    this.chunks.drain();
    this.wakeReader?.();
    this.#wakeWriters();
  }

  #wakeWriters() {
    for (const wake of this.wakeWriters.splice(0)) wake();
  }
}

class LocalDuplex {
  constructor(incoming, outgoing) {
    this.incoming = incoming;
    this.outgoing = outgoing;
  }

  read(max) { return this.incoming.read(max); }
  write(bytes) { return this.outgoing.write(bytes); }
  end(reason = CLEAN) { this.outgoing.end(reason); }
  stop(reason = CLEAN) { this.incoming.stop(reason); }

  /** Whether something that was written at the other end, or its end, has not been carried on. */
  get holds() {
    return this.incoming.size > 0 || this.incoming.passing || this.incoming.ended !== null;
  }

  /** What was read has been carried on. */
  passed() {
    this.incoming.passing = false;
  }
}

/** Our end of a session's stream. */
export class RemoteDuplex {
  /** `end`: the machine's. */
  constructor(session, end) {
    this.session = session;
    this.end_ = end;
    this.wakeReader = null;
    this.wakeWriter = null;
    /** The end in this process whose bytes are carried on here, until they have ended. */
    this.feeder = null;
    /** Writes one after the other. */
    this.writing = Promise.resolve();
    end.duplex = this;
    session.streams.add(this);
  }

  onReadable() {
    this.wakeReader?.();
    this.#settled();
  }

  onWritable() {
    this.wakeWriter?.();
    this.#settled();
  }

  async read(max) {
    const { end_: end } = this;
    for (;;) {
      if (end.stopping) return null;
      const bytes = end.read(max);
      this.#settled();
      if (bytes) return bytes;
      if (end.ended) {
        const error = endError(end.ended);
        if (error) throw error;
        return null;
      }
      await new Promise((resolve) => { this.wakeReader = resolve; });
    }
  }

  write(bytes) {
    const written = this.writing.then(() => this.#write(bytes));
    this.writing = written.catch(() => {});
    return written;
  }

  async #write(bytes) {
    const { end_: end } = this;
    for (let rest = bytes; ;) {
      if (end.stopped) throw stoppedError(end.stopped);
      if (end.ending) throw new AttachmentInUse('this direction of the stream was ended');
      if (this.session.machine.isLeaving) throw new SessionClosed();
      rest = rest.subarray(end.write(rest));
      this.#settled();
      if (rest.length === 0) return;
      await new Promise((resolve) => { this.wakeWriter = resolve; });
    }
  }

  end(reason = CLEAN) {
    // Behind the writes that wait.
    this.writing = this.writing.then(() => {
      this.end_.end(reason);
      this.#settled();
    });
  }

  stop(reason = CLEAN) {
    this.end_.stop(reason);
    this.wakeReader?.();
    this.#settled();
  }

  /** Nothing that was written waits to be sent, here or in the end of this process that goes on here. */
  get isDrained() {
    const { end_: end, feeder } = this;
    if (end.stopped) return true;
    return end.unsent.length === 0 && (!end.ending || end.endSent) && !feeder?.holds;
  }

  /** Carries on what is written to an end in this process. */
  async feedFrom(local) {
    this.feeder = local;
    await copyBytes(local, this);
    this.feeder = null;
    this.#settled();
  }

  #settled() {
    this.session.touch();
    if (this.end_.finished) this.session.streams.delete(this);
  }
}

/** Copies one way, with the end or error, until it has ended. */
async function copyBytes(from, to) {
  for (;;) {
    let bytes;
    try {
      bytes = await from.read();
    } catch (error) {
      return to.end({ code: error.wireCode ?? Code.DISCONNECTED, text: error.text ?? '' });
    }
    if (!bytes) return to.end();
    try {
      await to.write(bytes);
      from.passed?.();
    } catch (error) {
      return from.stop(error instanceof Closed ? CLEAN : { code: error.wireCode ?? Code.DISCONNECTED, text: error.text ?? '' });
    }
  }
}

/** A duplex that travels in a message. */
export class StreamHold {
  constructor(duplex) {
    this.duplex = duplex;
    /** It has gone over a session, was claimed, or was closed. */
    this.spent = false;
  }

  /** What it goes on as at the other side of a session. */
  travel(remote) {
    this.spent = true;
    remote.feedFrom(this.duplex);
    copyBytes(remote, this.duplex);
  }

  toHandle() {
    return new ByteStream(this);
  }

  /** Gives up both directions. A clean end is said by `end()` alone: without it, `why` follows what was written. */
  release(why = ABANDONED) {
    if (this.spent) return;
    this.spent = true;
    this.duplex.end(why);
    this.duplex.stop(why === ABANDONED ? CLEAN : why);
  }
}

/** A two-way pipe of bytes. */
export class ByteStream {
  #hold;
  #busy = 0;
  #readable;
  #writable;

  /** Not for programs: they call `ByteStream.pair` or `ByteStream.from`. */
  constructor(hold) {
    this.#hold = hold;
    forgotten.register(this, hold, hold);
  }

  /** Two ends of one stream: what one writes, the other reads. */
  static pair() {
    const [there, back] = [new BytePipe(), new BytePipe()];
    const duplexes = [new LocalDuplex(back, there), new LocalDuplex(there, back)];
    return duplexes.map((duplex) => new ByteStream(new StreamHold(duplex)));
  }

  /** A stream from which these bytes are read: text, bytes, a Blob, a ReadableStream, or what iterates over bytes. */
  static from(source) {
    const [stream, other] = ByteStream.pair();
    feed(source, other);
    return stream;
  }

  /** The next bytes, at most `max`, or null at the clean end. Rejects with Disconnected or Remote at another. */
  async read(max) {
    return this.#use((duplex) => duplex.read(max));
  }

  /** Writes bytes or text; done when all of it has left or is buffered within the stream's window. */
  async write(data) {
    const bytes = typeof data === 'string' ? utf8.encode(data) : new Uint8Array(data.buffer ?? data, data.byteOffset, data.byteLength);
    return this.#use((duplex) => duplex.write(bytes));
  }

  /** Writes no more; the other side reads the clean end behind what was written. Reading goes on. */
  end() {
    this.#duplex.end();
  }

  /** Reads no more; what has arrived is dropped, and the other side's writes fail. Writing goes on. */
  stop() {
    this.#duplex.stop();
  }

  /** Gives the stream up. The other side reads what was written, and then the clean end only if `end()` was called before. */
  close() {
    if (!this.#hold) return;
    const hold = this.#detach();
    hold.release();
  }

  /** Ends both directions with an error for the other side. `code`: the application's, 0 to 65,279. */
  closeWith(code, text) {
    const reason = applicationReason(code, text);
    const duplex = this.#duplex;
    duplex.end(reason);
    duplex.stop(reason);
    this.close();
  }

  /** What arrives, as a stream of the platform that is filled on demand. Cancelling it is `stop`. */
  get readable() {
    const duplex = this.#duplex;
    this.#readable ??= new ReadableStream({
      pull: async (controller) => {
        const bytes = await this.#use(() => duplex.read());
        if (bytes) controller.enqueue(bytes);
        else controller.close();
      },
      cancel: () => duplex.stop(),
    }, { highWaterMark: 0 });
    return this.#readable;
  }

  /** What is written, as a stream of the platform with backpressure. Closing it is `end`; an abort is an error there. */
  get writable() {
    const duplex = this.#duplex;
    this.#writable ??= new WritableStream({
      write: (chunk) => this.write(chunk),
      close: () => duplex.end(),
      abort: (reason) => duplex.end(applicationReason(0, String(reason ?? 'aborted'))),
    });
    return this.#writable;
  }

  /** Reads on demand, until the clean end. */
  async *[Symbol.asyncIterator]() {
    for (let bytes; (bytes = await this.read());) yield bytes;
  }

  /** All that is still to be read, as bytes. It is as much as the other side likes. */
  async bytes() {
    return new Uint8Array(await new Response(this.readable).arrayBuffer());
  }

  /** All that is still to be read, as text. */
  async text() {
    return new Response(this.readable).text();
  }

  get #duplex() {
    if (this.#hold) return this.#hold.duplex;
    throw new AttachmentInUse('this ByteStream was closed or sent away');
  }

  async #use(operation) {
    const duplex = this.#duplex;
    this.#busy++;
    try {
      return await operation(duplex);
    } finally {
      this.#busy--;
    }
  }

  #detach() {
    const hold = this.#hold;
    this.#hold = null;
    forgotten.unregister(hold);
    return hold;
  }

  get #whyNot() {
    if (!this.#hold) return 'a ByteStream in the message was closed or sent away before';
    const locked = this.#readable?.locked || this.#writable?.locked;
    return this.#busy > 0 || locked ? 'a ByteStream in the message is in use' : '';
  }

  /** How it travels: see parcel.js. */
  get [TRAVELS]() {
    return {
      inspect: () => ({ why: this.#whyNot, place: { owner: this, side: 'stream' } }),
      detach: () => this.#detach(),
      attach: (hold) => {
        if (hold.spent) return;
        this.#hold = hold;
        forgotten.register(this, hold, hold);
      },
    };
  }
}

/** Writes all of a source, then the end. If the source fails, so does the stream. */
async function feed(source, stream) {
  try {
    let parts = source;
    if (typeof source === 'string' || source instanceof ArrayBuffer || ArrayBuffer.isView(source)) parts = [source];
    else if (typeof Blob !== 'undefined' && source instanceof Blob) parts = source.stream();
    for await (const part of iterate(parts)) await stream.write(part);
    stream.end();
    // What the other side writes has no reader.
    stream.stop();
  } catch (error) {
    stream.closeWith(0, error.message);
  }
}

/** Not every browser iterates over a ReadableStream. */
async function* iterate(parts) {
  if (!parts.getReader || parts[Symbol.asyncIterator]) {
    yield* parts;
    return;
  }
  const reader = parts.getReader();
  for (let part; !(part = await reader.read()).done;) yield part.value;
}
