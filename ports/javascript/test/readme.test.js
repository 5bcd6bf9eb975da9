// The programs of the README, as they stand there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const port = fileURLToPath(new URL('..', import.meta.url));

/** A folder with the programs, and the package installed. */
async function unpack() {
  const folder = await mkdtemp(join(tmpdir(), 'libchan-readme-'));
  await mkdir(join(folder, 'node_modules'));
  await symlink(port, join(folder, 'node_modules', 'libchan'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const readme = await readFile(join(port, 'README.md'), 'utf8');
  for (const [, name, program] of readme.matchAll(/```js\n\/\/ (\S+\.js)\n(.*?)```/gs)) await writeFile(join(folder, name), program);
  return folder;
}

function start(folder, ...args) {
  return spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
}

async function output(child) {
  const text = [];
  child.stdout.on('data', (part) => text.push(part));
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  return Buffer.concat(text).toString();
}

test('server and client, over tcp, a unix socket and a WebSocket', async () => {
  const folder = await unpack();
  for (const place of ['tcp://127.0.0.1:0', `unix://${join(folder, 'jobs.sock')}`, 'ws://127.0.0.1:0']) {
    const server = start(folder, 'server.js', place);
    try {
      const [line] = await once(server.stdout, 'data');
      assert.equal(await output(start(folder, 'client.js', line.toString().trim())), '20\n');
    } finally {
      server.kill();
    }
  }
  await rm(folder, { recursive: true });
});

test('what must not look complete', async () => {
  const folder = await unpack();
  const printed = await output(start(folder, 'rows.js'));
  assert.equal(printed, 'whole [ 0, 1, 2 ]\ntorn is incomplete: the other end was dropped before it was finished\n');
  await rm(folder, { recursive: true });
});

// `LIBCHAN_REXEC`: where `rexec` of the Rust examples is.
test('a client of the Rust example', { skip: !process.env.LIBCHAN_REXEC && 'LIBCHAN_REXEC is not set' }, async () => {
  const folder = await unpack();
  const server = spawn(process.env.LIBCHAN_REXEC, ['--listen', 'tcp://127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(server.stdout, 'data');
    const url = line.toString().match(/tcp:\S+/)[0];
    assert.equal(await output(start(folder, 'rexec.js', url)), 'HELLO\n  { code: 4, error: null }\n');
  } finally {
    server.kill();
  }
  await rm(folder, { recursive: true });
});
