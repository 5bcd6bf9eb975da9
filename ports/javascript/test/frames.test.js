// Frames byte by byte: the examples of spec/2-frames.md, both ways, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Code } from '../src/protocol/codes.js';
import { decodeFrame, decodeHeader, encodeFrame } from '../src/protocol/frames.js';
import { hex, unhex } from './hex.js';

const decode = (text) => {
  const bytes = unhex(text);
  const header = decodeHeader(bytes);
  assert.equal(header.length, bytes.length - 8);
  return decodeFrame(header, bytes.subarray(8));
};

const examples = {
  hello: `00005c0100000000 01000400010000 02000401000000 03000400000040 04000400010000 05000400000100 06000400000800
    07000400004000 08000410000000 09000400000000 0a000401020300 0b000400000000 0c000c046e616d6500056275696c64`,
  open: '00000a0200000002 00000040 00046a6f6273',
  message: '0000030300000002 0001 2a',
  attachments: `0000280300000002 0201 02 03000000040000000000000000 01000000060000004000000000
    82a161d40100a162d40101`,
  'not encoded': '0000040300000002 0401 6e6f',
  'first fragment': '00000a0300000002 0100 00000006 61626364',
  'last fragment': '0000030400000002 00 6566',
  credit: '00000c0500000002 00000020 00000000 00000400',
  'clean close': '0000030600000002 00 0000',
  'close with an error': '0000060600000002 01 0107 627965',
  cancel: '0000070700000002 00 00000003 0000',
  data: '0000020800000004 6869',
  end: '0000020900000004 0000',
  stop: '0000020a00000004 0000',
  ping: '0000080b00000000 0000000000000001',
  goodbye: '0000020d00000000 0000',
};

for (const [name, text] of Object.entries(examples)) {
  test(`${name} is read and written as it was`, () => {
    assert.equal(hex(encodeFrame(decode(text))), hex(unhex(text)));
  });
}

test('fields have their names', () => {
  assert.deepEqual(decode(examples.open), { t: 'OPEN', id: 2, capacity: 64, name: 'jobs', metadata: [] });
  const { attachments, payload } = decode(examples.attachments);
  assert.deepEqual(attachments[1], { kind: 1, id: 6, capacity: 64, wanted: 0 });
  assert.equal(hex(payload), '82a161d40100a162d40101');
  assert.deepEqual(decode('000003ff00000002 000000'), { t: 'UNKNOWN', id: 2 });
});

const refused = {
  'an unknown type': ['0000001000000002', 'PROTOCOL'],
  'a body that is too short': ['0000020500000002 0000', 'PROTOCOL'],
  'a body that is too long': ['00000d0500000002 000000010000000000000000 00', 'PROTOCOL'],
  'a text that is not UTF-8': ['0000030900000004 0001 ff', 'PROTOCOL'],
  'a ping with an id': ['0000080b00000002 0000000000000001', 'PROTOCOL'],
  'a hello out of order': ['0000070100000000 01000400010000', 'PROTOCOL'],
  'an unknown flag': ['0000020300000002 2001', 'PROTOCOL'],
  'two flaws': ['0000020300000002 0c01', 'PROTOCOL'],
  'announced, yet whole': ['0000020300000002 1001', 'PROTOCOL'],
  'an empty table': ['0000030300000002 020100', 'TOO_MANY_ATTACHMENTS'],
  'kind 6': ['0000100300000002 020101 06000000040000000000000000', 'PROTOCOL'],
  'a capacity of a stream': ['0000100300000002 020101 03000000040000000100000000', 'PROTOCOL'],
  'a scope of 2': ['0000030600000002 02 0000', 'PROTOCOL'],
  'a clean close with a text': ['0000040600000002 00 0000 61', 'PROTOCOL'],
  'empty data': ['0000000800000004', 'PROTOCOL'],
  'an empty fragment': ['0000010400000002 00', 'PROTOCOL'],
};

for (const [name, [text, code]] of Object.entries(refused)) {
  test(`${name} is refused`, () => {
    const bytes = unhex(text);
    assert.throws(() => decodeFrame(decodeHeader(bytes), bytes.subarray(8)), { code: Code[code] });
  });
}

test('long texts are cut at a character', () => {
  const frame = decode(hex(encodeFrame({ t: 'END', id: 4, code: 300, text: 'é'.repeat(600) + '€' })));
  assert.equal(frame.text, 'é'.repeat(512));
  const odd = decode(hex(encodeFrame({ t: 'END', id: 4, code: 300, text: 'a' + 'é'.repeat(600) })));
  assert.equal(odd.text, 'a' + 'é'.repeat(511));
});
