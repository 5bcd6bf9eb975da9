// Codecs: how values become payloads (spec/codecs/).
//
// A codec is `{id, name, encode(value, attach), decode(bytes, claim, build)}`. `attach(value)` gives the index of an
// attachment, or -1 if the value is none; `claim(index)` gives what the index stands for, and throws if nothing does.
// `build` says what the decoded parts become: see build.js.

import { json } from './json.js';
import { msgpack } from './msgpack.js';
import { raw } from './raw.js';

export { json, msgpack, raw };

const known = [msgpack, json, raw];

/** The codec with this id or name, or undefined. */
export function codec(idOrName) {
  return known.find(({ id, name }) => id === idOrName || name === idOrName);
}
