#!/usr/bin/env node
// The testee of this port: `libchan conform` talks to it in lines of JSON (spec/conformance/PROTOCOL.md).

import { createInterface } from 'node:readline';

import { frameVerbs } from './testee/frames.js';
import { liveVerbs } from './testee/live.js';
import { machineVerbs } from './testee/machine.js';
import { Refusal } from './testee/refusal.js';
import { valueVerbs } from './testee/values.js';

const verbs = { ...frameVerbs, ...valueVerbs, ...machineVerbs(), ...liveVerbs(), hello };

function hello() {
  return {
    impl: 'libchan-javascript', version: '0.1.0', level: 2, codecs: ['msgpack', 'json', 'raw'],
    carriers: ['tcp', 'unix', 'tls', 'websocket'], verbs: ['machine', 'live'],
  };
}

async function answer({ n, do: name, ...request }) {
  try {
    const verb = Object.hasOwn(verbs, name) && verbs[name];
    if (!verb) throw new Refusal('UNKNOWN_VERB', name);
    // A null is a field that is absent; only as a value it is something.
    const given = Object.entries(request).filter(([field, it]) => it !== null || field === 'value');
    return { n, ok: await verb(Object.fromEntries(given), n) };
  } catch (error) {
    if (error instanceof Refusal) return { n, err: error.fields };
    console.error(error);
    return { n, err: { name: 'IO', text: String(error.message) } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== '') answer(JSON.parse(line)).then((reply) => process.stdout.write(`${JSON.stringify(reply)}\n`));
}
process.exit();
