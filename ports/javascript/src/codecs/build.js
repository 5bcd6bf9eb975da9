// What decoded parts become. Another `build` keeps what JavaScript's values cannot tell apart: 1 and 1.0, or the order
// of keys.

/** How deep lists and maps may nest. */
export const MAX_DEPTH = 128;

/** A value that has no form in the codec. */
export class EncodeFailure extends Error {}
/** Bytes that are no value. */
export class DecodeFailure extends Error {}

export const plain = {
  /** A whole number or a bigint. */
  int: (value) => value,
  float: (value) => value,
  bytes: (value) => value,
  list: (items) => items,
  /** `pairs`: [key, value] in the order of the encoding. Text keys alone make an object, others a Map. */
  map(pairs) {
    if (!pairs.every(([key]) => typeof key === 'string')) return new Map(pairs);
    const object = {};
    for (const [key, value] of pairs) {
      // As a plain assignment this key would change the object's prototype.
      if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
    }
    return object;
  },
};

/** The entries of a value that is encoded as a map, or null if it is none. */
export function entriesOf(value) {
  if (value instanceof Map) return [...value];
  if (value instanceof Date || value instanceof Set || value instanceof RegExp || value instanceof Promise) return null;
  return Object.entries(value).filter(([, item]) => item !== undefined && typeof item !== 'function');
}

/** The bytes of a value that is encoded as bytes, or null if it is none. */
export function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return null;
}

/** What a value is, for an error. */
export function nameOf(value) {
  return typeof value === 'object' ? `a ${value.constructor?.name ?? 'thing'}` : `a ${typeof value}`;
}
