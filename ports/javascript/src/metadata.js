// What is said with a hello or a named channel: keys with bytes or text.

const utf8 = new TextEncoder();

/** Keys and their bytes; of a key that stands twice the first counts. */
export class Metadata extends Map {
  constructor(entries = []) {
    super();
    for (const [key, value] of entries) if (!this.has(key)) this.set(key, value);
  }

  /** A value as text, or undefined if there is none. What is no UTF-8 is replaced. */
  text(key) {
    const value = this.get(key);
    return value && new TextDecoder().decode(value);
  }
}

/** The list that the protocol wants, of an object or a Map with text or bytes. */
export function metadataList(metadata = {}) {
  const entries = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  return entries.map(([key, value]) => {
    const bytes = typeof value === 'string' ? utf8.encode(value) : value;
    if (!(bytes instanceof Uint8Array)) throw new TypeError(`the metadata ${JSON.stringify(key)} is neither text nor a Uint8Array`);
    if (utf8.encode(key).length > 255) throw new RangeError('a key of the metadata has more than 255 bytes');
    if (bytes.length > 65_535) throw new RangeError(`the metadata ${JSON.stringify(key)} has more than 65,535 bytes`);
    return [key, bytes];
  });
}
