// A message on its way: a value of this process, or (`wire`) a payload with what it carries.
//
// What a payload carries are holds: a channel's `Hold`, or a stream's. They belong to the parcel until they are bound
// to a session, claimed by whoever decodes it, or released with it.

import { codec as findCodec, msgpack } from './codecs/index.js';
import { DecodeFailure } from './codecs/build.js';
import { AttachmentInUse, Decode, Encode, NotEncoded, NotForwarded } from './errors.js';
import { Code } from './protocol/codes.js';
import { Flag } from './protocol/frames.js';
import { charge } from './protocol/sending.js';

const utf8 = new TextEncoder();
/** What ends in a message are told that nobody has read. */
const NOT_DELIVERED = { code: Code.NOT_DELIVERED, text: '' };

export class Parcel {
  /** `settle`: {resolve, reject} of the send, if one waits for it. */
  constructor({ value, wire = null, source = null, settle = null }) {
    this.value = value;
    this.wire = wire;
    /** The leg of the remote sender, if one brought it. */
    this.source = source;
    /** What is still charged against the remote sender's window. */
    this.sourceBytes = source ? this.charge : 0;
    this.settle = settle;
    /** It counts against its channel's capacity. */
    this.held = false;
    /** Handles whose holds it took. */
    this.handles = [];
    /** Legs of senders in it that went to a receiver that has not taken it yet. */
    this.sources = [];
    /** Streams in it that are bound to a session, and move once it is taken: {hold, attach, begin}. */
    this.streams = [];
  }

  get charge() {
    return this.wire ? charge(this.wire.payload.length, this.wire.holds.length, this.wire.headers?.length) : 0;
  }

  /** Encodes the value; the handles in it are spent from now on. Throws what the sender is told. */
  encode(codec = msgpack) {
    if (this.wire) return;
    const handles = new Map();
    const holds = [];
    const places = new Map();
    const attach = (value) => {
      if (!value?.[TRAVELS]) return -1;
      const known = handles.get(value);
      if (known !== undefined) return known;
      const { place, why } = value[TRAVELS].inspect();
      if (why) throw new AttachmentInUse(why);
      // Two clones of one end are one attachment.
      const index = places.get(place.owner)?.[place.side] ?? holds.length;
      if (index === holds.length) holds.push(value);
      places.set(place.owner, { ...places.get(place.owner), [place.side]: index });
      handles.set(value, index);
      return index;
    };
    let payload;
    try {
      payload = codec.encode(this.value, attach);
    } catch (error) {
      if (error instanceof AttachmentInUse) throw error;
      // Getters of the value are the user's code and may throw anything.
      throw new Encode(`the value cannot be encoded: ${error.message}`, { cause: error });
    }
    if (codec.id === 0 && holds.length > 0) throw new Encode('raw carries no ends');
    const spare = [];
    this.handles = [...handles.keys()].map((handle) => {
      const hold = handle[TRAVELS].detach();
      const at = holds.indexOf(handle);
      if (at >= 0) holds[at] = hold;
      else spare.push(hold);
      return [handle, hold];
    });
    this.wire = { codec: codec.id, flaw: 0, payload, holds, spare };
  }

  /** The value, for a receiver here. Throws what the receiver is told. */
  open() {
    const { wire } = this;
    if (!wire) return this.value;
    if (wire.flaw) {
      const text = new TextDecoder().decode(wire.payload);
      releaseAll(wire.holds, NOT_DELIVERED);
      throw wire.flaw === Flag.NOT_ENCODED ? new NotEncoded(text) : new NotForwarded(text);
    }
    const claims = [];
    // What nobody claims: the type has no place for it, unless the message does not decode.
    let why = { code: Code.UNCLAIMED, text: '' };
    try {
      const codec = findCodec(wire.codec);
      if (!codec) throw new DecodeFailure(`the codec ${wire.codec} is not known here`);
      const value = codec.decode(wire.payload, (index, lenient) => claim(wire.holds, claims, index, lenient));
      return value;
    } catch (error) {
      why = { code: Code.NOT_DECODED, text: error.message };
      for (const { handle } of claims) handle[TRAVELS].detach().release(why);
      if (error instanceof DecodeFailure) throw new Decode(`a message does not decode: ${error.message}`);
      throw error;
    } finally {
      const claimed = new Set(claims.map(({ hold }) => hold));
      releaseAll(wire.holds.filter((hold) => !claimed.has(hold)), why);
      releaseAll(wire.spare);
    }
  }

  /** Turns it into a word that stands for it. */
  spoil(flaw, text) {
    if (this.wire) releaseAll([...this.wire.holds, ...this.wire.spare], NOT_DELIVERED);
    else dropValue(this.value);
    this.wire = { codec: msgpack.id, flaw, payload: utf8.encode(text).slice(0, 1024), holds: [], spare: [] };
    this.handles = [];
  }

  /** It was accepted: the send is done. */
  accepted() {
    this.settle?.resolve();
    this.settle = null;
  }

  /** It was forwarded: the window of the remote sender is free of it, its capacity is not. */
  forwarded() {
    this.source?.count(0, this.sourceBytes);
    this.sourceBytes = 0;
  }

  /** It was taken. */
  taken() {
    this.accepted();
    this.source?.count(1, this.sourceBytes);
    this.source = null;
  }

  /** Has somebody else told too when it was accepted, or not. */
  follow({ resolve, reject }) {
    const first = this.settle;
    this.settle = {
      owner: first,
      resolve: () => { first?.resolve(); resolve(); },
      reject: (error) => { first?.reject(error); reject(error); },
    };
  }

  /** Its handles have their holds again. */
  restore() {
    for (const [handle, hold] of this.handles) handle[TRAVELS].attach(hold);
    this.handles = [];
  }

  /** It was not accepted: its sender gets the value back. */
  fail(error) {
    const { settle } = this;
    this.settle = null;
    if (!settle) return this.drop();
    this.restore();
    error.value = this.value;
    settle.reject(error);
  }

  /** Nobody will have it: what it carries is closed. `why`: what is said of it. */
  drop(why = NOT_DELIVERED) {
    this.taken();
    if (this.wire) releaseAll([...this.wire.holds, ...this.wire.spare], why);
    else dropValue(this.value);
  }

  // ---- while it lies at a remote receiver, and may go to another or back

  /** Its receiver has it, or (`lost`) may have it. */
  leave() {
    for (const source of this.sources.splice(0)) source.decide(false);
    for (const { begin } of this.streams.splice(0)) begin();
  }

  /** It was not taken: what it carries is whole, and what the other side says of that is of no account. */
  comeBack() {
    for (const source of this.sources.splice(0)) source.decide(true);
    for (const { attach } of this.streams.splice(0)) {
      attach.end(NOT_DELIVERED);
      attach.stop(NOT_DELIVERED);
    }
  }
}

/** By this, what may travel in a value is known: {inspect, detach, attach}. */
export const TRAVELS = Symbol('libchan.travels');

function claim(holds, claims, index, lenient) {
  const hold = holds[index];
  if (!hold) {
    if (lenient) return undefined;
    throw new DecodeFailure(`the index ${index} is not in the table of ${holds.length}`);
  }
  const before = claims.some((known) => known.hold === hold);
  if (before && !hold.clone) throw new DecodeFailure('a stream is claimed twice');
  const handle = (before ? hold.clone() : hold).toHandle();
  claims.push({ hold, handle });
  return handle;
}

/** Gives ends up. `why`: what their other sides are told. */
function releaseAll(holds, why) {
  for (const hold of holds) hold.release(why);
}

/** Closes the ends in a value that was never encoded. */
function dropValue(value) {
  try {
    msgpack.encode(value, (item) => {
      if (!item?.[TRAVELS]) return -1;
      if (!item[TRAVELS].inspect().why) item[TRAVELS].detach().release(NOT_DELIVERED);
      return 0;
    });
  } catch {
    // It has no form that could be sent, so nobody counts on what is in it.
  }
}
