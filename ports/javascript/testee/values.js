// value.decode and value.encode, and values as the protocol of the testee writes them.

import { DecodeFailure, EncodeFailure } from '../src/codecs/build.js';
import { codec as findCodec } from '../src/codecs/index.js';
import { Refusal, hex, unhex } from './refusal.js';

function codec(name) {
  const found = findCodec(name);
  if (!found) throw new Refusal('NOT_SUPPORTED', `the codec ${name}`);
  return found;
}

const float = (value) => {
  if (Number.isFinite(value)) return Object.is(value, -0) ? { float: '-0.0' } : { float: value };
  return { float: Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf' };
};

/** What decoders make of the parts of a value: its JSON. */
const toJson = {
  int: (value) => (typeof value === 'bigint' ? { int: value.toString() } : value),
  float,
  bytes: (value) => ({ bytes: hex(value) }),
  list: (items) => items,
  map: (pairs) => ({ map: pairs }),
};

class Index {
  constructor(index) {
    this.index = index;
  }
}

/** A value from its JSON; `special(json)` makes what only some places have, or gives undefined. */
export function valueFromJson(json, special) {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) return json.map((item) => valueFromJson(item, special));
  if ('int' in json) return BigInt(json.int);
  if ('float' in json) return Object(floatFromJson(json.float));
  if ('bytes' in json) return unhex(json.bytes);
  if ('map' in json) return new Map(json.map.map(([key, value]) => [valueFromJson(key, special), valueFromJson(value, special)]));
  const made = special(json);
  if (made === undefined) throw new Refusal('NOT_SUPPORTED', `the value ${JSON.stringify(json)}`);
  return made;
}

function floatFromJson(value) {
  return { nan: NaN, inf: Infinity, '-inf': -Infinity }[value] ?? Number(value);
}

/** The JSON of a value that was received; `special(value)` for what only some places have. */
export function valueToJson(value, special) {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 2 ** 53 ? value : float(value);
  if (typeof value === 'bigint') return { int: value.toString() };
  if (typeof value !== 'object') return value;
  const made = special(value);
  if (made !== undefined) return made;
  if (value instanceof Uint8Array) return { bytes: hex(value) };
  if (Array.isArray(value)) return value.map((item) => valueToJson(item, special));
  const pairs = value instanceof Map ? [...value] : Object.entries(value);
  return { map: pairs.map(([key, item]) => [valueToJson(key, special), valueToJson(item, special)]) };
}

export const valueVerbs = {
  'value.decode'({ codec: name, hex: text, attachments = 0 }) {
    const claim = (index, lenient) => {
      if (index < attachments) return { attachment: index };
      if (lenient) return undefined;
      throw new DecodeFailure(`no attachment ${index}`);
    };
    try {
      return { value: codec(name).decode(unhex(text), claim, toJson) };
    } catch (error) {
      if (error instanceof DecodeFailure) throw new Refusal('DECODE', error.message);
      throw error;
    }
  },
  'value.encode'({ codec: name, value }) {
    const made = valueFromJson(value, ({ attachment }) => (attachment === undefined ? undefined : new Index(attachment)));
    try {
      return { hex: hex(codec(name).encode(made, (item) => (item instanceof Index ? item.index : -1))) };
    } catch (error) {
      if (error instanceof EncodeFailure) throw new Refusal('ENCODE', error.message);
      throw error;
    }
  },
};
