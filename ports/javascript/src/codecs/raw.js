// Codec `raw`: the payload is the value, one byte string or text or nothing. It has no place for attachments.

import { EncodeFailure, bytesOf, nameOf, plain } from './build.js';

export const raw = {
  id: 0,
  name: 'raw',

  encode(value) {
    if (value === undefined || value === null) return new Uint8Array(0);
    if (typeof value === 'string') return new TextEncoder().encode(value);
    const bytes = typeof value === 'object' ? bytesOf(value) : null;
    if (!bytes) throw new EncodeFailure(`${nameOf(value)} is neither bytes nor text, and raw knows nothing else`);
    return bytes.slice();
  },

  decode: (bytes, claim, build = plain) => build.bytes(bytes),
};
