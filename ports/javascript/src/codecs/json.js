// Codec `json` (spec/codecs/json.md). Own code on both ways: numbers beyond 2^53 travel in full and arrive as a bigint,
// and an attachment is an object with the one key `$libchan`.

import { DecodeFailure, EncodeFailure, MAX_DEPTH, bytesOf, entriesOf, nameOf, plain } from './build.js';

const PLACEHOLDER = '$libchan';
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const json = {
  id: 2,
  name: 'json',

  encode(value, attach = () => -1) {
    return new TextEncoder().encode(write(value, attach, 0));
  },

  decode(bytes, claim, build = plain) {
    let text;
    try {
      text = strict.decode(bytes);
    } catch {
      throw new DecodeFailure('the payload is not UTF-8');
    }
    const parser = new Parser(text, claim, build);
    const value = parser.value(0);
    parser.space();
    if (parser.at < text.length) throw new DecodeFailure('something follows the value');
    return value;
  },
};

function write(value, attach, depth) {
  if (depth > MAX_DEPTH) throw new EncodeFailure(`the value nests deeper than ${MAX_DEPTH} levels`);
  switch (typeof value) {
    case 'undefined': return 'null';
    case 'boolean': case 'string': return JSON.stringify(value);
    case 'bigint': return value.toString();
    case 'number':
      if (!Number.isFinite(value)) throw new EncodeFailure(`${value} has no form in JSON`);
      return Object.is(value, -0) ? '-0.0' : String(value);
    case 'object': return value === null ? 'null' : writeObject(value, attach, depth);
    default: throw new EncodeFailure(`${nameOf(value)} has no form in JSON`);
  }
}

function writeObject(value, attach, depth) {
  // Boxed, a number is a float whatever its value.
  if (value instanceof Number) {
    const text = write(value.valueOf(), attach, depth);
    return Number.isInteger(value.valueOf()) && !/[.e]/.test(text) ? `${text}.0` : text;
  }
  const index = attach(value);
  if (index >= 0) return `{"${PLACEHOLDER}":${index}}`;
  const bytes = bytesOf(value);
  if (bytes) return `[${bytes.join(',')}]`;
  if (Array.isArray(value)) return `[${value.map((item) => write(item, attach, depth + 1)).join(',')}]`;
  const entries = entriesOf(value);
  if (!entries) throw new EncodeFailure(`${nameOf(value)} has no form in JSON`);
  const parts = entries.map(([key, item]) => {
    if (typeof key !== 'string') throw new EncodeFailure(`a key that is ${nameOf(key)} has no form in JSON`);
    return `${JSON.stringify(key)}:${write(item, attach, depth + 1)}`;
  });
  return `{${parts.join(',')}}`;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const INDEX = /(?:0|[1-9]\d{0,3})(?![\d.eE])/y;
const NEEDS_CARE = /[\\\u0000-\u001f]/;
const LITERALS = new Map([['true', true], ['false', false], ['null', null]]);

class Parser {
  constructor(text, claim, build) {
    this.text = text;
    this.at = 0;
    this.claim = claim;
    this.build = build;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  fail() {
    const found = this.at < this.text.length ? JSON.stringify(this.text[this.at]) : 'the end';
    throw new DecodeFailure(`${found} at character ${this.at} is no JSON`);
  }

  space() {
    this.match(SPACE);
  }

  /** Whether this character comes next; then it is read. */
  next(character) {
    this.space();
    const found = this.text[this.at] === character;
    if (found) this.at++;
    return found;
  }

  value(depth) {
    if (depth > MAX_DEPTH) throw new DecodeFailure(`the value nests deeper than ${MAX_DEPTH} levels`);
    if (this.next('{')) return this.object(depth);
    if (this.next('[')) return this.list(depth);
    if (this.text[this.at] === '"') return this.string();
    const number = this.match(NUMBER);
    if (number) return this.number(number);
    for (const [word, value] of LITERALS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.fail();
  }

  number([text, fraction, exponent]) {
    if (fraction !== undefined || exponent !== undefined || text === '-0') {
      const value = Number(text);
      if (!Number.isFinite(value)) throw new DecodeFailure(`the number ${text.slice(0, 40)} is too large`);
      return this.build.float(value);
    }
    const value = Number(text);
    if (Number.isSafeInteger(value)) return this.build.int(value);
    const fits = text.length <= 20 && BigInt.asIntN(65, BigInt(text)) === BigInt(text);
    return fits ? this.build.int(BigInt(text)) : this.build.float(value);
  }

  string() {
    if (this.text[this.at] !== '"') this.fail();
    let end = this.at;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) throw new DecodeFailure('a text does not end');
    } while (this.#isEscaped(end));
    const literal = this.text.slice(this.at, end + 1);
    this.at = end + 1;
    if (!NEEDS_CARE.test(literal)) return literal.slice(1, -1);
    try {
      return JSON.parse(literal);
    } catch {
      throw new DecodeFailure(`${literal.slice(0, 40)} is no JSON text`);
    }
  }

  /** Whether an odd number of backslashes stands before this character. */
  #isEscaped(at) {
    let first = at;
    while (this.text[first - 1] === '\\') first--;
    return (at - first) % 2 === 1;
  }

  list(depth) {
    if (depth >= MAX_DEPTH) throw new DecodeFailure(`the value nests deeper than ${MAX_DEPTH} levels`);
    const items = [];
    if (this.next(']')) return this.build.list(items);
    do items.push(this.value(depth + 1)); while (this.next(','));
    if (!this.next(']')) this.fail();
    return this.build.list(items);
  }

  object(depth) {
    if (depth >= MAX_DEPTH) throw new DecodeFailure(`the value nests deeper than ${MAX_DEPTH} levels`);
    const pairs = [];
    if (this.next('}')) return this.build.map(pairs);
    do {
      this.space();
      const key = this.string();
      if (!this.next(':')) this.fail();
      const attachment = pairs.length === 0 && key === PLACEHOLDER ? this.placeholder() : undefined;
      if (attachment !== undefined) return attachment;
      pairs.push([key, this.value(depth + 1)]);
    } while (this.next(','));
    if (!this.next('}')) this.fail();
    return this.build.map(pairs);
  }

  /** The attachment, if what follows is the index of one and the end of its object; else nothing is read. */
  placeholder() {
    const start = this.at;
    this.space();
    const number = this.match(INDEX);
    const attachment = number && this.next('}') ? this.claim(Number(number[0]), true) : undefined;
    if (attachment === undefined) this.at = start;
    return attachment;
  }
}
