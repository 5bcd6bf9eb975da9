// The test vectors of the specification, by way of the testee's verbs. `LIBCHAN_VECTORS` names another folder of them.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { decodeFrame, decodeHeader } from '../src/protocol/frames.js';
import { DEFAULT_LIMITS } from '../src/protocol/limits.js';
import { bytesOf, frameToJson, frameVerbs } from '../testee/frames.js';
import { machineVerbs } from '../testee/machine.js';
import { Refusal, hex, unhex } from '../testee/refusal.js';
import { valueVerbs } from '../testee/values.js';

const folder = process.env.LIBCHAN_VECTORS ?? fileURLToPath(new URL('../../../spec/vectors', import.meta.url));
const LEVEL = 2;

/** Replaces fills by the bytes that they stand for. */
function expand(json) {
  if (json === null || typeof json !== 'object') return json;
  if (json.fill === 'mod251') return hex(Uint8Array.from({ length: json.len }, (_, i) => i % 251));
  if (Array.isArray(json)) return json.map(expand);
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, expand(value)]));
}

function vectors(file) {
  const path = join(folder, file);
  return existsSync(path) ? expand(JSON.parse(readFileSync(path))).filter(({ level = 0 }) => level <= LEVEL) : [];
}

function framesIn(text) {
  const bytes = unhex(text);
  const hasPreface = text.startsWith('6c69626368616e');
  const frames = hasPreface ? [{ t: 'PREFACE', version: bytes[7] }] : [];
  for (let at = hasPreface ? 8 : 0; at < bytes.length;) {
    const header = decodeHeader(bytes, at);
    const end = at + 8 + header.length;
    frames.push(frameToJson(decodeFrame(header, bytes.subarray(at + 8, end), { max_attachments: 253, max_message: 2 ** 30 })));
    at = end;
  }
  return frames;
}

/** Whether every field that stands in `wanted` is equal in `found`. */
function contains(found, wanted, bound = {}) {
  if (typeof wanted === 'string' && wanted.startsWith('$')) {
    bound[wanted] ??= found;
    return bound[wanted] === found;
  }
  // An absent field has its zero value.
  const isZero = (value) => value === undefined || value === null || value === 0 || value === '' || value?.length === 0;
  if (isZero(wanted) && isZero(found)) return true;
  if (wanted === null || typeof wanted !== 'object') return found === wanted;
  if (found === null || typeof found !== 'object') return false;
  if (Array.isArray(wanted)) return wanted.length === found.length && wanted.every((item, i) => contains(found[i], item, bound));
  return Object.entries(wanted).every(([key, value]) => contains(found[key], value, bound));
}

/** A HELLO of the peer's states the defaults where nothing else stands. */
const withDefaults = (frame) => (frame.t === 'HELLO' ? { ...DEFAULT_LIMITS, codecs: [1, 2, 3, 0], ...frame } : frame);

/** A machine under test, with what it has sent and what has happened since somebody looked. */
class Conversation {
  constructor(vector, byByte = false) {
    this.byByte = byByte;
    this.verbs = machineVerbs();
    this.bound = {};
    this.sent = [];
    this.events = [];
    this.over = null;
    const { role, hello = {}, peer = {}, local } = vector;
    this.take(this.verbs['machine.new']({ m: 1, role, hello, local }), !vector.raw);
    if (vector.raw) return;
    const defaults = this.verbs['machine.new']({ m: 2, role: role === 'dialer' ? 'acceptor' : 'dialer', hello: peer });
    this.take(this.verbs['machine.recv']({ m: 1, hex: defaults.out }), true);
    this.events = [];
  }

  take({ out, events, over }, silently = false) {
    if (!silently) this.sent.push(...framesIn(out));
    this.events.push(...events);
    this.over = over;
  }

  substitute(json) {
    if (typeof json === 'string' && json in this.bound) return this.bound[json];
    if (json === null || typeof json !== 'object') return json;
    if (Array.isArray(json)) return json.map((item) => this.substitute(item));
    return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, this.substitute(value)]));
  }

  step(step) {
    if ('app' in step) {
      const reply = this.verbs['machine.app']({ m: 1, ...this.substitute(step.app) });
      this.take(reply);
      if ('gives' in step) this.same(reply.gives, step.gives);
    } else if ('recv' in step) {
      const { recv } = step;
      const text = typeof recv === 'string' ? recv : recv.map((frame) => hex(bytesOf(withDefaults(this.substitute(frame))))).join('');
      const parts = this.byByte ? text.match(/../g) ?? [] : [text];
      for (const part of parts) this.take(this.verbs['machine.recv']({ m: 1, hex: part }));
    } else if ('tick' in step) this.take(this.verbs['machine.tick']({ m: 1, now: step.tick }));
    else if ('eof' in step) this.take(this.verbs['machine.eof']({ m: 1 }));
    else if ('expect' in step) this.same(this.sent.splice(0), step.expect);
    else if ('any_order' in step) this.sameInAnyOrder(this.sent.splice(0), step.any_order);
    else if ('events' in step) this.same(this.events.splice(0), step.events);
    else if ('skip' in step) this.sent = [];
    else if ('quiet' in step) this.same(this.sent.splice(0), []);
    else if ('over' in step) this.same(this.over, step.over);
    else assert.fail(`an unknown step ${Object.keys(step)}`);
  }

  same(found, wanted) {
    if (!contains(found, wanted, this.bound)) assert.deepEqual(found, wanted);
  }

  sameInAnyOrder(found, wanted) {
    const left = [...found];
    for (const frame of wanted) {
      const at = left.findIndex((other) => contains(other, frame, this.bound));
      if (at < 0) assert.deepEqual(found, wanted);
      left.splice(at, 1);
    }
    assert.deepEqual(left, []);
  }
}

for (const vector of vectors('frames.json')) {
  test(`${vector.id} ${vector.why}`, () => {
    const decode = () => frameVerbs['frame.decode']({ hex: vector.hex });
    if (vector.error) return assert.throws(decode, (error) => error.fields?.name === vector.error);
    if (!contains(decode(), vector.frame)) assert.deepEqual(decode(), vector.frame);
    if (vector.mode === 'both') assert.equal(frameVerbs['frame.encode']({ frame: vector.frame }).hex, vector.hex);
  });
}

/** A vector that needs what this port does not have. */
const unsupported = (error) => error instanceof Refusal && error.fields.name === 'NOT_SUPPORTED';

for (const vector of vectors('reject.json')) {
  test(`${vector.id} ${vector.why}`, (t) => {
    const bytes = unhex(vector.hex);
    const begin = () => {
      const it = new Conversation(vector);
      for (const step of vector.before ?? []) it.step(step);
      return it;
    };
    const feed = (it, part) => it.take(it.verbs['machine.recv']({ m: 1, hex: hex(part) }), true);
    try {
      const whole = begin();
      feed(whole, bytes);
      const slow = begin();
      const ends = vector.scope === 'session';
      const over = { why: 'broken', code: vector.code };
      if (!ends) assert.equal(whole.over, null);
      else assert.deepEqual(whole.over, over);
      for (let at = 0; at < bytes.length && !slow.over; at++) {
        feed(slow, bytes.subarray(at, at + 1));
        if (ends) assert.deepEqual(slow.over, at + 1 < vector.at ? null : over, `at byte ${at + 1}`);
      }
      for (const step of vector.after ?? []) whole.step(step);
    } catch (error) {
      if (unsupported(error)) return t.skip(error.message);
      throw error;
    }
  });
}

const sessions = existsSync(join(folder, 'sessions')) ? readdirSync(join(folder, 'sessions')) : [];
for (const vector of sessions.flatMap((file) => vectors(join('sessions', file)))) {
  test(`${vector.id} ${vector.why}`, (t) => {
    for (const byByte of vector.whole ? [false] : [false, true]) {
      let done = 0;
      try {
        const it = new Conversation(vector, byByte);
        for (const step of vector.steps) {
          done++;
          it.step(step);
        }
        assert.deepEqual(it.sent, [], 'sent and not looked at');
      } catch (error) {
        if (unsupported(error)) return t.skip(error.message);
        const step = JSON.stringify(vector.steps[done - 1])?.slice(0, 300);
        throw new Error(`step ${done}${byByte ? ', byte by byte' : ''}: ${step}: ${error.message}`, { cause: error });
      }
    }
  });
}

for (const file of existsSync(folder) ? readdirSync(folder).filter((name) => /^values\..*\.json$/.test(name)) : []) {
  const codec = file.split('.')[1];
  for (const vector of vectors(file)) {
    test(`${vector.id} ${vector.why}`, (t) => {
      try {
        for (const encoding of vector.encodings) {
          const decode = () => valueVerbs['value.decode']({ codec, hex: encoding, attachments: vector.attachments });
          if (vector.error) assert.throws(decode, Refusal);
          else assert.deepEqual(decode().value, vector.value);
        }
        if (vector.error || vector.mode === 'decode') return;
        const written = valueVerbs['value.encode']({ codec, value: vector.value }).hex;
        assert.ok(vector.encodings.includes(written), `wrote ${written}`);
      } catch (error) {
        if (unsupported(error)) return t.skip(error.message);
        throw error;
      }
    });
  }
}
