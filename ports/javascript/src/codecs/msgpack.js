// Codec `msgpack` (spec/codecs/msgpack.md): own code, because a browser imports it without a bundler, and because of
// what the peer may send: depth and lengths are limited, and 64-bit numbers arrive whole (as a bigint beyond 2^53).

import { DecodeFailure, EncodeFailure, MAX_DEPTH, bytesOf, entriesOf, nameOf, plain } from './build.js';

/** The extension type of attachments. */
const ATTACHMENT = 1;
const utf8 = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const msgpack = {
  id: 1,
  name: 'msgpack',

  encode(value, attach = () => -1) {
    const encoder = new Encoder(attach);
    encoder.value(value, 0);
    return encoder.bytes.slice(0, encoder.length);
  },

  decode(bytes, claim, build = plain) {
    const decoder = new Decoder(bytes, claim, build);
    const value = decoder.value(0);
    if (decoder.at < bytes.length) throw new DecodeFailure(`${bytes.length - decoder.at} bytes follow the value`);
    return value;
  },
};

class Encoder {
  constructor(attach) {
    this.attach = attach;
    this.bytes = new Uint8Array(128);
    this.view = new DataView(this.bytes.buffer);
    this.length = 0;
  }

  room(n) {
    const needed = this.length + n;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
      grown.set(this.bytes);
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.length = needed;
    return needed - n;
  }

  u8(byte) { const at = this.room(1); this.bytes[at] = byte; }
  put(bytes) { const at = this.room(bytes.length); this.bytes.set(bytes, at); }

  /** A tag, then a number of so many bytes. */
  sized(tag, size, number) {
    this.u8(tag);
    const at = this.room(size);
    if (size === 1) this.view.setUint8(at, number);
    else if (size === 2) this.view.setUint16(at, number);
    else this.view.setUint32(at, number);
  }

  value(value, depth) {
    if (depth > MAX_DEPTH) throw new EncodeFailure(`the value nests deeper than ${MAX_DEPTH} levels`);
    switch (typeof value) {
      case 'undefined': return this.u8(0xc0);
      case 'boolean': return this.u8(value ? 0xc3 : 0xc2);
      case 'number': return this.number(value);
      case 'bigint': return this.bigint(value);
      case 'string': return this.text(value);
      case 'object': return value === null ? this.u8(0xc0) : this.object(value, depth);
      default: throw new EncodeFailure(`${nameOf(value)} has no form in msgpack`);
    }
  }

  number(value) {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.float(value);
    else if (value >= 0) {
      if (value < 0x80) this.u8(value);
      else if (value <= 0xff) this.sized(0xcc, 1, value);
      else if (value <= 0xffff) this.sized(0xcd, 2, value);
      else if (value <= 0xffff_ffff) this.sized(0xce, 4, value);
      else this.bigint(BigInt(value));
    } else if (value >= -0x20) this.u8(value & 0xff);
    else if (value >= -0x80) this.sized(0xd0, 1, value);
    else if (value >= -0x8000) this.sized(0xd1, 2, value);
    else if (value >= -0x8000_0000) this.sized(0xd2, 4, value);
    else this.bigint(BigInt(value));
  }

  bigint(value) {
    if (value >= -0x8000_0000n && value <= 0xffff_ffffn) return this.number(Number(value));
    if (BigInt.asUintN(64, value) !== value && BigInt.asIntN(64, value) !== value) {
      throw new EncodeFailure(`${value} does not fit 64 bits`);
    }
    this.u8(value < 0n ? 0xd3 : 0xcf);
    const at = this.room(8);
    this.view.setBigUint64(at, BigInt.asUintN(64, value));
  }

  text(value) {
    const bytes = utf8.encode(value);
    if (bytes.length < 0x20) this.u8(0xa0 | bytes.length);
    else this.length32(bytes.length, 0xd9);
    this.put(bytes);
  }

  /** A length behind the first of three tags, for one, two and four bytes. */
  length32(length, tag) {
    if (length <= 0xff) this.sized(tag, 1, length);
    else if (length <= 0xffff) this.sized(tag + 1, 2, length);
    else this.sized(tag + 2, 4, length);
  }

  float(value) {
    this.u8(0xcb);
    const at = this.room(8);
    this.view.setFloat64(at, value);
  }

  object(value, depth) {
    // Boxed, a number is a float whatever its value.
    if (value instanceof Number) return this.float(value.valueOf());
    const index = this.attach(value);
    if (index > 0xff) return this.put(Uint8Array.of(0xd5, ATTACHMENT, index >> 8, index & 0xff));
    if (index >= 0) return this.put(Uint8Array.of(0xd4, ATTACHMENT, index));
    const bytes = bytesOf(value);
    if (bytes) {
      this.length32(bytes.length, 0xc4);
      return this.put(bytes);
    }
    if (Array.isArray(value)) {
      this.count(value.length, 0x90, 0xdc);
      for (const item of value) this.value(item, depth + 1);
      return;
    }
    const entries = entriesOf(value);
    if (!entries) throw new EncodeFailure(`${nameOf(value)} has no form in msgpack`);
    this.count(entries.length, 0x80, 0xde);
    for (const [key, item] of entries) {
      this.value(key, depth + 1);
      this.value(item, depth + 1);
    }
  }

  count(length, fix, tag) {
    if (length < 0x10) this.u8(fix | length);
    else if (length <= 0xffff) this.sized(tag, 2, length);
    else this.sized(tag + 1, 4, length);
  }
}

class Decoder {
  constructor(bytes, claim, build) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.claim = claim;
    this.build = build;
  }

  skip(n) {
    if (n > this.bytes.length - this.at) throw new DecodeFailure('the payload ends inside a value');
    this.at += n;
    return this.at - n;
  }

  u8() { return this.view.getUint8(this.skip(1)); }
  u16() { return this.view.getUint16(this.skip(2)); }
  u32() { return this.view.getUint32(this.skip(4)); }

  take(n) {
    const from = this.skip(n);
    return this.bytes.subarray(from, from + n);
  }

  value(depth) {
    const tag = this.u8();
    if (tag < 0x80) return this.build.int(tag);
    if (tag < 0x90) return this.map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.list(tag & 0x0f, depth);
    if (tag < 0xc0) return this.text(tag & 0x1f);
    if (tag >= 0xe0) return this.build.int(tag - 0x100);
    const { view, build } = this;
    switch (tag) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.blob(this.u8());
      case 0xc5: return this.blob(this.u16());
      case 0xc6: return this.blob(this.u32());
      case 0xc7: return this.extension(this.u8());
      case 0xc8: return this.extension(this.u16());
      case 0xc9: return this.extension(this.u32());
      case 0xca: return build.float(view.getFloat32(this.skip(4)));
      case 0xcb: return build.float(view.getFloat64(this.skip(8)));
      case 0xcc: return build.int(this.u8());
      case 0xcd: return build.int(this.u16());
      case 0xce: return build.int(this.u32());
      case 0xcf: return this.long(view.getBigUint64(this.skip(8)));
      case 0xd0: return build.int(view.getInt8(this.skip(1)));
      case 0xd1: return build.int(view.getInt16(this.skip(2)));
      case 0xd2: return build.int(view.getInt32(this.skip(4)));
      case 0xd3: return this.long(view.getBigInt64(this.skip(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return this.extension(1 << (tag - 0xd4));
      case 0xd9: return this.text(this.u8());
      case 0xda: return this.text(this.u16());
      case 0xdb: return this.text(this.u32());
      case 0xdc: return this.list(this.u16(), depth);
      case 0xdd: return this.list(this.u32(), depth);
      case 0xde: return this.map(this.u16(), depth);
      case 0xdf: return this.map(this.u32(), depth);
      default: throw new DecodeFailure(`the byte ${tag} begins no value`);
    }
  }

  long(value) {
    const small = Number(value);
    return this.build.int(Number.isSafeInteger(small) ? small : value);
  }

  text(length) {
    try {
      return strict.decode(this.take(length));
    } catch (error) {
      throw error instanceof DecodeFailure ? error : new DecodeFailure('a text is not UTF-8');
    }
  }

  blob(length) {
    return this.build.bytes(this.take(length).slice());
  }

  extension(length) {
    const type = this.u8();
    const data = this.take(length);
    if (type !== ATTACHMENT || length < 1 || length > 2) throw new DecodeFailure(`an extension of type ${type} and ${length} bytes`);
    return this.claim(length === 1 ? data[0] : (data[0] << 8) | data[1]);
  }

  /** Refuses a length that what is left cannot hold, before anything is set aside for it. */
  enter(length, each, depth) {
    if (depth >= MAX_DEPTH) throw new DecodeFailure(`the value nests deeper than ${MAX_DEPTH} levels`);
    if (length * each > this.bytes.length - this.at) throw new DecodeFailure('the payload ends inside a value');
  }

  list(length, depth) {
    this.enter(length, 1, depth);
    const items = [];
    for (let i = 0; i < length; i++) items.push(this.value(depth + 1));
    return this.build.list(items);
  }

  map(length, depth) {
    this.enter(length, 2, depth);
    const pairs = [];
    for (let i = 0; i < length; i++) pairs.push([this.value(depth + 1), this.value(depth + 1)]);
    return this.build.map(pairs);
  }
}
