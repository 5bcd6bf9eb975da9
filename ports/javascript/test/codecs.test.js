// Codecs: what goes in comes out, what is no value is refused, and nothing that a peer sends does harm.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DecodeFailure } from '../src/codecs/build.js';
import { json, msgpack, raw } from '../src/codecs/index.js';
import { hex, unhex } from './hex.js';

const none = () => { throw new Error('claimed'); };
const text = (string) => new TextEncoder().encode(string);

const values = [
  null, true, false, 0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1,
  -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1,
  2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n), 1.5, -0.1, 1e300,
  '', 'a', 'ü€𝄞', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(300), 'x'.repeat(70_000), '"\\\n\u0001',
  [], [1, [2, [3]]], new Array(16).fill(1), new Array(70_000).fill(0),
  {}, { a: 1, b: { c: [null] } }, Object.fromEntries(new Array(20).fill(0).map((_, i) => [`k${i}`, i])),
];

for (const codec of [msgpack, json]) {
  test(`${codec.name}: what goes in comes out`, () => {
    for (const value of values) assert.deepEqual(codec.decode(codec.encode(value), none), value);
  });

  test(`${codec.name}: nesting ends at 128 levels, both ways`, () => {
    const nest = (levels) => { let value = 1; while (levels-- > 0) value = [value]; return value; };
    const deepest = codec.encode(nest(128));
    codec.decode(deepest, none);
    assert.throws(() => codec.encode(nest(129)), /128 levels/);
    const [open, close] = codec === json ? ['[', ']'] : ['\x91', ''];
    const deeper = Uint8Array.from(open.repeat(100_000) + '1' + close.repeat(100_000), (c) => c.charCodeAt(0));
    assert.throws(() => codec.decode(deeper, none), /128 levels/);
    const loop = {};
    loop.loop = loop;
    assert.throws(() => codec.encode(loop), /128 levels/);
  });

  test(`${codec.name}: a key __proto__ is a key like others`, () => {
    const value = codec.decode(codec.encode(new Map([['__proto__', { evil: 1 }]])), none);
    assert.equal(value.evil, undefined);
    assert.deepEqual(Object.keys(value), ['__proto__']);
  });

  test(`${codec.name}: what has no form says so`, () => {
    for (const value of [() => 1, Symbol('s'), new Date(), new Set(), [new Date()], { at: new RegExp('x') }]) {
      assert.throws(() => codec.encode(value), /has no form/);
    }
  });

  test(`${codec.name}: random bytes are refused or are values`, () => {
    let seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const random = () => (seed = (Math.imul(seed, 48_271) + 11) >>> 0) / 2 ** 32;
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: 1 + random() * 12 }, () => random() * 256);
      try {
        codec.decode(bytes, (index) => index);
      } catch (error) {
        assert.ok(error instanceof DecodeFailure, error);
      }
    }
  });
}

test('msgpack: the example of the specification', () => {
  const [a, b] = [{}, {}];
  const bytes = msgpack.encode({ a, b }, (value) => [a, b].indexOf(value));
  assert.equal(hex(bytes), '82a161d40100a162d40101');
  assert.deepEqual(msgpack.decode(bytes, (index) => ({ index })), { a: { index: 0 }, b: { index: 1 } });
});

test('msgpack: every width of a number, maps with other keys, bytes', () => {
  for (const form of ['05', 'cc05', 'cd0005', 'ce00000005', 'cf0000000000000005', 'd005', 'd10005', 'd200000005', 'd30000000000000005']) {
    assert.equal(msgpack.decode(unhex(form), none), 5);
  }
  assert.deepEqual(msgpack.decode(unhex('8101a161'), none), new Map([[1, 'a']]));
  assert.deepEqual(msgpack.decode(msgpack.encode(Uint8Array.of(1, 2)), none), Uint8Array.of(1, 2));
  assert.deepEqual(msgpack.decode(msgpack.encode(new Uint16Array([1, 2]).buffer), none).length, 4);
});

test('msgpack: what is refused', () => {
  for (const bad of ['', 'c1', '0101', 'a2ff', 'a1ff', 'ddffffffff', 'dfffffffff', 'c6ffffffff00', 'd40200', 'd60100000000', 'c90000000001']) {
    assert.throws(() => msgpack.decode(unhex(bad), none), DecodeFailure, bad);
  }
});

test('json: placeholders, and data that looks like one', () => {
  const [a] = [{}];
  assert.equal(Buffer.from(json.encode({ a }, (value) => (value === a ? 0 : -1))).toString(), '{"a":{"$libchan":0}}');
  const claim = (index) => (index < 2 ? { index } : undefined);
  assert.deepEqual(json.decode(text('[{ "$libchan" : 1 }]'), claim), [{ index: 1 }]);
  for (const data of ['{"$libchan":2}', '{"$libchan":-1}', '{"$libchan":1.0}', '{"$libchan":"1"}', '{"$libchan":1,"x":2}', '{"$libchan":null}']) {
    assert.deepEqual(json.decode(text(data), claim), JSON.parse(data), data);
  }
});

test('json: what JSON.parse refuses is refused', () => {
  const bad = ['', '{', '[1,]', '{"a":1,}', '{a:1}', '01', '1.', '.5', '+1', '"\u0001"', '"\\x"', "'a'", 'nul', '1 2', '[1 2]', '"a', '\ufeff1'];
  for (const document of bad) assert.throws(() => json.decode(text(document), none), DecodeFailure, document);
  const good = ['-0', '0', '-1.5e+3', '1E5', ' [ 1 , { "a" : "\\u00e9\\ud834\\udd1e" } ] ', '"\\"\\\\\\/"', '{"a":1,"a":2}'];
  for (const document of good) assert.deepEqual(json.decode(text(document), none), JSON.parse(document), document);
  assert.equal(json.decode(text('18446744073709551615'), none), 2n ** 64n - 1n);
});

test('raw: bytes, text, nothing; and nothing else', () => {
  assert.deepEqual(raw.decode(raw.encode(Uint8Array.of(1, 2)), none), Uint8Array.of(1, 2));
  assert.deepEqual(raw.decode(raw.encode('é'), none), Uint8Array.of(0xc3, 0xa9));
  assert.equal(raw.encode(null).length, 0);
  assert.throws(() => raw.encode({}), /neither bytes nor text/);
});
