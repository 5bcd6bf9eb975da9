// Sender and Receiver: what a program holds of a channel. `pipe` makes both; `session.open` and messages give one.

import { Channel } from './channel.js';
import {
  AttachmentInUse, CallError, Closed, LibchanError, applicationReason, endError, noReplyError, notSentError,
} from './errors.js';
import { Parcel, TRAVELS } from './parcel.js';
import { Code } from './protocol/codes.js';
import { MAX_COUNT } from './protocol/numbers.js';

const DEFAULT_CAPACITY = 64;
const CHANNEL = Symbol('libchan.channel');
const GIVE_UP = Symbol('libchan.give-up');

/** A handle that was forgotten gives up its end, when the garbage collector finds it. That is never a clean end. */
const forgotten = new FinalizationRegistry((hold) => hold.release({ code: Code.ABANDONED, text: 'its holder forgot it' }));

/** A channel: `[sender, receiver]`. With capacity 0 a send completes when a receiver has taken the message. */
export function pipe({ capacity = DEFAULT_CAPACITY } = {}) {
  const channel = new Channel(checkCapacity(capacity));
  return [new Sender(new Hold(channel, true)), new Receiver(new Hold(channel, false))];
}

export function checkCapacity(capacity = DEFAULT_CAPACITY) {
  if (Number.isInteger(capacity) && capacity >= 0 && capacity <= MAX_COUNT) return capacity;
  throw new RangeError(`a capacity is a whole number from 0 to 2,147,483,647, not ${capacity}`);
}

/** A counted end: a channel ends when the last one of a side is released. */
export class Hold {
  constructor(channel, sending) {
    this.channel = channel;
    this.sending = sending;
    this.released = false;
    channel.addHold(sending);
  }

  clone() {
    return new Hold(this.channel, this.sending);
  }

  /** Gives up the end. `why`: what the other side is told if it is the last; without a code it is a clean end. */
  release(why = { code: Code.NONE, text: '' }) {
    if (this.released) return;
    this.released = true;
    this.channel.dropHold(this.sending, why);
  }

  /** A handle that has this hold. */
  toHandle() {
    return this.sending ? new Sender(this) : new Receiver(this);
  }
}

/** What both ends have in common: a hold that can be given up, and that travels in messages. */
class End {
  #hold;

  constructor(hold) {
    this.#attach(hold);
  }

  /** How many messages the channel holds. */
  get capacity() {
    return this[CHANNEL].capacity;
  }

  /** Another handle of the same end: it lives on when this one is dropped or sent away. */
  clone() {
    this[CHANNEL];
    return this.#hold.clone().toHandle();
  }

  /** Gives up this handle. The last one of a side ends that side. */
  drop() {
    this[GIVE_UP]();
  }

  [GIVE_UP](why) {
    if (this.#hold) this.#detach().release(why);
  }

  /** Whether both are ends of one channel. */
  isSameChannel(other) {
    return this[CHANNEL] === other[CHANNEL];
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.drop();
  }

  get [CHANNEL]() {
    if (this.#hold) return this.#hold.channel;
    throw new AttachmentInUse(`this ${this.constructor.name} was dropped or sent away: clone() it before, to keep one`);
  }

  #attach(hold) {
    this.#hold = hold;
    forgotten.register(this, hold, hold);
  }

  #detach() {
    const hold = this.#hold;
    this.#hold = null;
    forgotten.unregister(hold);
    return hold;
  }

  /** How it travels: see parcel.js. */
  get [TRAVELS]() {
    return {
      inspect: () => ({
        why: this.#hold ? '' : `a ${this.constructor.name} in the message was dropped or sent away before`,
        place: { owner: this.#hold?.channel, side: this.#hold?.sending },
      }),
      detach: () => this.#detach(),
      attach: (hold) => this.#attach(hold),
    };
  }
}

/** The sending end of a channel. */
export class Sender extends End {
  /**
   * Sends a value; done when the channel has room for it, with capacity 0 when a receiver has taken it. Ends and
   * streams in the value go with it: their handles are spent, if the message crosses a session.
   *
   * Rejects with why it was not accepted; `value` of that error is the value, with its ends good again. After an abort
   * a message that had left already may still be taken.
   */
  async send(value, { signal } = {}) {
    const channel = this[CHANNEL];
    signal?.throwIfAborted();
    let abort;
    try {
      await new Promise((resolve, reject) => {
        // `owner` keeps this handle alive while the send waits.
        const parcel = new Parcel({ value: value === undefined ? null : value, settle: { resolve, reject, owner: this } });
        encodeEarly(channel, parcel);
        channel.offer(parcel);
        abort = () => {
          if (channel.withdraw(parcel)) parcel.restore();
          else if (!parcel.settle) return;
          parcel.settle = null;
          reject(signal.reason);
        };
        signal?.addEventListener('abort', abort);
      });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Sends a request and waits for its one reply: `make(reply)` gives the request, with the sender for the reply somewhere in it.
   * Rejects with a CallError, which says how it failed and whether it is safe to ask again. `within`: milliseconds. An abort, and
   * the end of the time, cancel: the handler's `reply.closed()` resolves.
   */
  async call(make, { within, signal } = {}) {
    const ended = new AbortController();
    const giveUp = () => ended.abort(signal.reason);
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp);
    let late = false;
    const timer = within !== undefined && setTimeout(() => { late = true; ended.abort(); }, within);
    const given = (error, failed) => {
      if (late) return new CallError('TimedOut', `no reply within ${within} ms`, error);
      return signal?.aborted ? new CallError('Aborted', 'it was given up', error) : failed(error);
    };
    const [reply, answer] = oneshot();
    try {
      await this.send(make(reply), { signal: ended.signal }).catch((error) => { throw given(error, notSentError); });
      return await answer.value({ signal: ended.signal }).catch((error) => { throw given(error, (cause) => cause); });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      reply.drop();
      answer.drop();
    }
  }

  /** Takes the place of this handle, which is spent, and ends cleanly by `finish()` alone. */
  mustFinish() {
    this[CHANNEL];
    return new MustFinish(this[TRAVELS].detach());
  }

  /** Ends the channel for all its senders; what was accepted arrives first. */
  close() {
    this[CHANNEL].close({ scope: 1, code: 0, text: '' });
  }

  /** The same with an error, which the receivers get after what was accepted. `code`: the application's, 0 to 65,279. */
  closeWith(code, text) {
    this[CHANNEL].close(applicationReason(code, text));
  }

  /** Whether no more messages are accepted. */
  get isClosed() {
    return this[CHANNEL].refusal() !== null;
  }

  /** Resolves with the reason (Closed, Refused or Disconnected) when no more messages are accepted. */
  closed() {
    return new Promise((resolve) => { this[CHANNEL].whenGone(resolve); });
  }
}

/**
 * A sender whose end must not look complete before it is: `finish()` is its only clean end. Dropped without it, or forgotten, its
 * receiver gets Remote ABANDONED behind what was sent, once all other senders have ended. Its clones must be finished too. Sent in a
 * message it arrives as a `Sender`.
 */
export class MustFinish extends Sender {
  /** All was sent: gives this handle up, and says that it has ended cleanly. */
  finish() {
    this[CHANNEL];
    this[GIVE_UP]();
  }

  /** Gives it up unfinished. */
  drop() {
    this[GIVE_UP]({ code: Code.ABANDONED, text: '' });
  }

  clone() {
    return super.clone().mustFinish();
  }
}

/** A value for a remote receiver is encoded at once, so that its sender hears what is wrong with it. */
function encodeEarly(channel, parcel) {
  const [target] = channel.targets;
  if (!target) return;
  try {
    target.encode(parcel);
  } catch (error) {
    if (!(error instanceof LibchanError)) throw error;
    parcel.fail(error);
    throw error;
  }
}

/** The receiving end of a channel. */
export class Receiver extends End {
  /**
   * The next value, or undefined at the clean end. Rejects with Decode, NotEncoded or NotForwarded in the place of one
   * message, after which the channel goes on; with Disconnected or Remote at its end. An abort loses no message.
   */
  async recv({ signal } = {}) {
    const channel = this[CHANNEL];
    signal?.throwIfAborted();
    let abort;
    try {
      return await new Promise((resolve, reject) => {
        const waiter = {
          owner: this,
          resolve: (parcel) => {
            try {
              resolve(parcel?.open());
            } catch (error) {
              reject(error);
            }
          },
          end: (reason) => {
            const error = endError(reason);
            if (error) reject(error);
            else resolve(undefined);
          },
        };
        channel.receive(waiter);
        abort = () => {
          if (channel.giveUp(waiter)) reject(signal.reason);
        };
        signal?.addEventListener('abort', abort);
      });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Takes a value whenever the loop asks for one, until the clean end. Leaving the loop does not close the channel. */
  [Symbol.asyncIterator]() {
    return {
      next: async () => {
        const value = await this.recv();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async (value) => ({ done: true, value }),
      [Symbol.asyncIterator]() { return this; },
    };
  }

  /** Ends the channel for everybody; what waits is dropped. */
  close() {
    this[CHANNEL].cancel({ scope: 1, code: 0, text: '' });
  }

  /** The same with an error, which the senders get. `code`: the application's, 0 to 65,279. */
  closeWith(code, text) {
    this[CHANNEL].cancel(applicationReason(code, text));
  }
}

/** A channel for one value: an ordinary `Sender` with room for it, and a `Reply`, which takes it. */
export function oneshot() {
  const [sender, receiver] = pipe({ capacity: 1 });
  return [sender, new Reply(receiver)];
}

/** The receiving side of a oneshot: it takes one value and then cancels the channel. */
export class Reply {
  #receiver;

  constructor(receiver) {
    this.#receiver = receiver;
  }

  /** The value. Rejects with a CallError if the channel ends without one, however cleanly; with the signal's reason at an abort. */
  async value({ signal } = {}) {
    try {
      const value = await this.#receiver.recv({ signal });
      if (value === undefined) throw noReplyError();
      return value;
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw error;
      throw error instanceof CallError ? error : noReplyError(error);
    } finally {
      this.drop();
    }
  }

  /** Takes no reply any more: the sender's `closed()` resolves. */
  drop() {
    this.#receiver.drop();
  }
}

/**
 * Forwards every message from one channel to the other without decoding it, attachments included, until the first
 * ends; says how many. Takes both handles over: an end or error of one side is that of the other.
 */
export async function copy(receiver, sender) {
  const from = receiver[CHANNEL];
  const to = sender[CHANNEL];
  let copied = 0;
  try {
    for (let parcel; (parcel = await nextParcel(from, to)); copied++) {
      await new Promise((resolve, reject) => {
        parcel.follow({ resolve, reject });
        to.offer(parcel);
      });
    }
    return copied;
  } catch (error) {
    const reason = { scope: 0, code: error.wireCode ?? Code.DISCONNECTED, text: error.text ?? '' };
    if (error.fromSource) to.close(reason);
    else from.cancel(error instanceof Closed ? { scope: 0, code: Code.NONE, text: '' } : reason);
    throw error;
  } finally {
    receiver.drop();
    sender.drop();
  }
}

/** The next message of `from`, undefined at its clean end; not taken yet. Rejects when `to` accepts no more. */
function nextParcel(from, to) {
  return new Promise((resolve, reject) => {
    const waiter = {
      raw: true,
      resolve: (parcel) => resolve(parcel ?? undefined),
      end(reason) {
        const error = endError(reason);
        if (error) reject(Object.assign(error, { fromSource: true }));
        else resolve(undefined);
      },
    };
    from.receive(waiter);
    to.whenGone((reason) => {
      if (from.giveUp(waiter)) reject(reason);
    });
  });
}
