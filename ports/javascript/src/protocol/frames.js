// Frames, byte by byte (spec/2-frames.md). A frame is a plain object with `t` (its name), `id` and its fields.
//
// `decodeFrame` checks what can be checked without a session; `encodeFrame` trusts its caller.

import { Code, ProtocolError } from './codes.js';
import { MAX_COUNT } from './numbers.js';

/** What both sides send first: the name and the version. */
export const PREFACE = Uint8Array.of(0x6c, 0x69, 0x62, 0x63, 0x68, 0x61, 0x6e, 0x01);
/** Bytes of a header: length u24, type u8, id u32. */
export const HEADER = 8;
/** The longest text of a reason, in bytes. */
const MAX_TEXT = 1024;
/** Unknown types with this bit are skipped. */
const IGNORABLE = 0x80;

const TYPES = {
  HELLO: 0x01, OPEN: 0x02, MESSAGE: 0x03, FRAGMENT: 0x04, CREDIT: 0x05, CLOSE: 0x06, CANCEL: 0x07,
  DATA: 0x08, END: 0x09, STOP: 0x0a, PING: 0x0b, PONG: 0x0c, GOODBYE: 0x0d,
};
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([name, type]) => [type, name]));

/** Flags of MESSAGE; FRAGMENT knows MORE only. */
export const Flag = Object.freeze({
  MORE: 0x01, ATTACHMENTS: 0x02, NOT_ENCODED: 0x04, NOT_FORWARDED: 0x08, HEADERS: 0x10,
});
/** Kinds of attachments, named by what the receiver of the message gets. */
export const Kind = Object.freeze({ SENDER: 1, RECEIVER: 2, STREAM: 3, DESCRIPTOR: 4, SENDER_HOME: 5 });
/** Bytes of an entry in the table of attachments. */
export const ATTACHMENT = 13;

/** The numbers of a HELLO, tags 1 to 9 in order. */
export const HELLO_LIMITS = Object.freeze([
  'max_frame', 'max_message', 'max_attachments', 'max_channels', 'max_pending_accepts',
  'initial_window', 'stream_window', 'session_memory', 'max_descriptors',
]);

const utf8 = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// ---- reading

/** Reads fields from the front of a body. What it hands out are views, not copies. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  /** Moves on by n bytes and says where they begin. */
  skip(n) {
    if (this.left < n) throw new ProtocolError('a frame is shorter than its fields');
    this.at += n;
    return this.at - n;
  }

  u8() { return this.view.getUint8(this.skip(1)); }
  u16() { return this.view.getUint16(this.skip(2)); }
  u32() { return this.view.getUint32(this.skip(4)); }

  take(n = this.left) {
    const from = this.skip(n);
    return this.bytes.subarray(from, from + n);
  }

  text(n = this.left) {
    const bytes = this.take(n);
    try {
      return strict.decode(bytes);
    } catch {
      throw new ProtocolError('a text is not UTF-8');
    }
  }

  end() {
    if (this.left > 0) throw new ProtocolError('a frame is longer than its fields');
  }

  /** `code u16`, then text to the end. */
  reason() {
    const code = this.u16();
    if (this.left > MAX_TEXT) throw new ProtocolError('the text of a reason is too long');
    return { code, text: this.text() };
  }

  scope() {
    const scope = this.u8();
    if (scope > 1) throw new ProtocolError('a scope is neither 0 nor 1');
    return scope;
  }

  metadata() {
    const entries = [];
    while (this.left > 0) {
      const key = this.text(this.u8());
      entries.push([key, this.take(this.u16()).slice()]);
    }
    return entries;
  }
}

/** The header at `at`, or null if it is not all there. */
export function decodeHeader(bytes, at = 0) {
  if (bytes.length - at < HEADER) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER);
  const word = view.getUint32(0);
  return { length: word >>> 8, type: word & 0xff, id: view.getUint32(4) };
}

/** The frame with this header and body, by these limits. Payloads in it are views of `body`. */
export function decodeFrame(header, body, limits = { max_attachments: 64, max_message: 16_777_216 }) {
  const t = NAMES[header.type];
  if (t === undefined) {
    if (header.type & IGNORABLE) return { t: 'UNKNOWN', id: header.id };
    throw new ProtocolError(`an unknown frame type, ${header.type}`);
  }
  const session = t === 'HELLO' || t === 'PING' || t === 'PONG' || t === 'GOODBYE';
  if (session && header.id !== 0) throw new ProtocolError(`${t} with an id`);
  const reader = new Reader(body);
  const frame = { t, id: header.id, ...readers[t](reader, header.id, limits) };
  reader.end();
  return frame;
}

const eightBytes = (reader) => ({ payload: reader.take(8) });
const justReason = (reader) => reader.reason();

const readers = {
  HELLO: readHello,
  OPEN(reader) {
    const frame = { capacity: reader.u32(), name: reader.text(reader.u16()), metadata: reader.metadata() };
    if (frame.capacity > MAX_COUNT) throw new ProtocolError('a capacity is too high');
    return frame;
  },
  MESSAGE: readMessage,
  FRAGMENT(reader) {
    const flags = reader.u8();
    if (flags & ~Flag.MORE) throw new ProtocolError('an unknown flag of a FRAGMENT');
    if (reader.left === 0) throw new ProtocolError('an empty FRAGMENT');
    return { flags, payload: reader.take() };
  },
  CREDIT(reader, id) {
    const frame = { taken: reader.u32(), wanted: reader.u32(), bytes: reader.u32() };
    if (id === 0 && (frame.wanted || frame.bytes)) throw new ProtocolError('a CREDIT with id 0 is for descriptors');
    return frame;
  },
  CLOSE(reader) {
    const frame = { scope: reader.scope(), ...reader.reason() };
    if (frame.code === Code.NONE && frame.text) throw new ProtocolError('a clean CLOSE with a text');
    return frame;
  },
  CANCEL: (reader) => ({ scope: reader.scope(), taken: reader.u32(), ...reader.reason() }),
  DATA(reader) {
    if (reader.left === 0) throw new ProtocolError('an empty DATA');
    return { payload: reader.take() };
  },
  END: justReason,
  STOP: justReason,
  PING: eightBytes,
  PONG: eightBytes,
  GOODBYE: justReason,
};

function readHello(reader) {
  const frame = {};
  let last = 0;
  while (reader.left > 0) {
    const tag = reader.u8();
    const field = new Reader(reader.take(reader.u16()));
    if (tag <= last) throw new ProtocolError('the fields of a HELLO are out of order');
    last = tag;
    if (tag >= 1 && tag <= 9) frame[HELLO_LIMITS[tag - 1]] = field.u32();
    else if (tag === 10) frame.codecs = [...field.take()];
    else if (tag === 11) frame.features = field.u32();
    else if (tag === 12) frame.metadata = field.metadata();
    else field.take();
    field.end();
  }
  for (const name of [...HELLO_LIMITS, 'codecs', 'features', 'metadata']) {
    if (frame[name] === undefined) throw new ProtocolError(`a HELLO without ${name}`);
  }
  return frame;
}

function readMessage(reader, id, limits) {
  const flags = reader.u8();
  const codec = reader.u8();
  const flaws = Flag.NOT_ENCODED | Flag.NOT_FORWARDED;
  const more = flags & Flag.MORE;
  if (flags & 0xe0) throw new ProtocolError('an unknown flag of a MESSAGE');
  if ((flags & flaws) === flaws) throw new ProtocolError('a MESSAGE with two flaws');
  const attachments = [];
  if (flags & Flag.ATTACHMENTS) {
    const count = reader.u8();
    if (count === 0 || count > limits.max_attachments) {
      throw new ProtocolError(`a table of ${count} attachments`, Code.TOO_MANY_ATTACHMENTS);
    }
    for (let i = 0; i < count; i++) attachments.push(readAttachment(reader));
  }
  const frame = { flags, codec, attachments };
  if (flags & Flag.HEADERS) frame.headers = readHeaders(reader);
  if (more) frame.total = reader.u32();
  frame.payload = reader.take();
  const size = more ? frame.total : frame.payload.length;
  if (size > limits.max_message) throw new ProtocolError(`a message of ${size} bytes`, Code.MESSAGE_TOO_LARGE);
  if (more && frame.payload.length >= frame.total) throw new ProtocolError('a first fragment with all of the message');
  return frame;
}

/** The headers as they came: their fields must fill them exactly. What they say is for those who know the tags. */
function readHeaders(reader) {
  const bytes = reader.take(reader.u8());
  if (bytes.length === 0) throw new ProtocolError('headers of no bytes');
  for (let at = 0; at < bytes.length;) {
    if (at + 2 > bytes.length || at + 2 + bytes[at + 1] > bytes.length) {
      throw new ProtocolError('headers that do not add up');
    }
    at += 2 + bytes[at + 1];
  }
  return bytes.slice();
}

function readAttachment(reader) {
  const attachment = { kind: reader.u8(), id: reader.u32(), capacity: reader.u32(), wanted: reader.u32() };
  const { kind, id, capacity, wanted } = attachment;
  if (kind < Kind.SENDER || kind > Kind.SENDER_HOME) throw new ProtocolError(`an attachment of kind ${kind}`);
  if (kind >= Kind.STREAM && (capacity || wanted)) throw new ProtocolError(`numbers for an attachment of kind ${kind}`);
  if (kind === Kind.DESCRIPTOR && id) throw new ProtocolError('an id for a descriptor');
  if (capacity > MAX_COUNT || wanted > MAX_COUNT) throw new ProtocolError('a number of an attachment is too high');
  if (kind === Kind.SENDER && capacity > 0 && wanted > 0) throw new ProtocolError('receives that wait on a channel with capacity');
  if (kind === Kind.RECEIVER && (wanted > 1 || (capacity === 0 && wanted === 0))) {
    throw new ProtocolError('a receiving end that says neither window nor demand');
  }
  return attachment;
}

// ---- writing

/** Collects fields; `frame` puts the header in front. */
class Writer {
  constructor() {
    this.bytes = new Uint8Array(64);
    this.view = new DataView(this.bytes.buffer);
    this.length = HEADER;
  }

  /** Makes room for n bytes and says where they begin. */
  room(n) {
    const needed = this.length + n;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.length = needed;
    return needed - n;
  }

  u8(value) { const at = this.room(1); this.view.setUint8(at, value); return this; }
  u16(value) { const at = this.room(2); this.view.setUint16(at, value); return this; }
  u32(value) { const at = this.room(4); this.view.setUint32(at, value); return this; }
  put(bytes) { const at = this.room(bytes.length); this.bytes.set(bytes, at); return this; }

  reason({ code, text }) {
    return this.u16(code).put(cutText(text));
  }

  metadata(entries) {
    for (const [key, value] of entries) {
      const name = utf8.encode(key);
      this.u8(name.length).put(name).u16(value.length).put(value);
    }
    return this;
  }

  frame(type, id) {
    this.view.setUint32(0, ((this.length - HEADER) << 8 | type) >>> 0);
    this.view.setUint32(4, id);
    return this.bytes.subarray(0, this.length);
  }
}

/** The text in UTF-8, cut at a character if it is too long. */
function cutText(text) {
  const bytes = utf8.encode(text);
  if (bytes.length <= MAX_TEXT) return bytes;
  let end = MAX_TEXT;
  while ((bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

/** The frame's bytes, header included. */
export function encodeFrame(frame) {
  const writer = new Writer();
  writers[frame.t](writer, frame);
  return writer.frame(TYPES[frame.t], frame.id ?? 0);
}

const writePayload = (writer, { payload }) => writer.put(payload);
const writeReason = (writer, frame) => writer.reason(frame);

const writers = {
  HELLO(writer, frame) {
    HELLO_LIMITS.forEach((name, at) => writer.u8(at + 1).u16(4).u32(frame[name]));
    writer.u8(10).u16(frame.codecs.length).put(Uint8Array.from(frame.codecs));
    writer.u8(11).u16(4).u32(frame.features);
    const metadata = encodeMetadata(frame.metadata);
    writer.u8(12).u16(metadata.length).put(metadata);
  },
  OPEN(writer, { capacity, name, metadata }) {
    const bytes = utf8.encode(name);
    writer.u32(capacity).u16(bytes.length).put(bytes).metadata(metadata);
  },
  MESSAGE(writer, { flags, codec, attachments, headers, total, payload }) {
    writer.u8(flags).u8(codec);
    if (flags & Flag.ATTACHMENTS) {
      writer.u8(attachments.length);
      for (const { kind, id, capacity, wanted } of attachments) writer.u8(kind).u32(id).u32(capacity).u32(wanted);
    }
    if (flags & Flag.HEADERS) writer.u8(headers.length).put(headers);
    if (flags & Flag.MORE) writer.u32(total);
    writer.put(payload);
  },
  FRAGMENT: (writer, { flags, payload }) => writer.u8(flags).put(payload),
  CREDIT: (writer, { taken, wanted, bytes }) => writer.u32(taken).u32(wanted).u32(bytes),
  CLOSE: (writer, frame) => writer.u8(frame.scope).reason(frame),
  CANCEL: (writer, frame) => writer.u8(frame.scope).u32(frame.taken).reason(frame),
  DATA: writePayload,
  END: writeReason,
  STOP: writeReason,
  PING: writePayload,
  PONG: writePayload,
  GOODBYE: writeReason,
};

/** Metadata as its own bytes: its length decides whether it fits. */
export function encodeMetadata(entries) {
  const writer = new Writer().metadata(entries);
  return writer.bytes.subarray(HEADER, writer.length);
}
