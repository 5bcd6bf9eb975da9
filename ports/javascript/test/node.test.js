// Sessions over Node's carriers: every URL, and what goes wrong.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { WebSocket } from 'ws';

import { ByteStream, DialError, SessionError, dial, listen, pipe, upgrade } from '../src/node/index.js';

const folder = mkdtempSync(join(tmpdir(), 'libchan-node-'));
after(() => rmSync(folder, { recursive: true }));

/** A certificate for localhost, if there is openssl to make one: `{cert, key, pin}`. */
function certificate() {
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
      '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
    const print = execFileSync('openssl', ['x509', '-in', join(folder, 'cert.pem'), '-noout', '-fingerprint', '-sha256']).toString();
    const pin = `sha256:${print.trim().split('=')[1].replaceAll(':', '').toLowerCase()}`;
    return { cert: readFileSync(join(folder, 'cert.pem')), key: readFileSync(join(folder, 'key.pem')), pin };
  } catch {
    return null;
  }
}

const tls = certificate();
const skip = !tls && 'needs openssl';

/** Answers jobs `{text: ByteStream, done: Sender}` with the text's length. */
async function serve(session) {
  for await (const incoming of session) {
    for await (const { text, done } of incoming.receive()) await done.send((await text.text()).length);
  }
}

async function work(session, size) {
  const jobs = session.open('jobs');
  const [done, length] = pipe();
  await jobs.send({ text: ByteStream.from('x'.repeat(size)), done });
  assert.equal(await length.recv(), size);
  jobs.close();
}

async function roundTrip(url, listening, dialing = {}) {
  const listener = listen(url, listening);
  await listener.ready;
  const accepted = listener.accept();
  const session = await dial(listener.url, { metadata: { who: 'me' }, ...dialing });
  const there = await accepted;
  assert.equal(there.metadata.text('who'), 'me');
  void serve(there);
  await work(session, 5);
  await work(session, 3_000_000);
  await session.close();
  assert.deepEqual([await session.closed, await there.closed], [undefined, undefined]);
  await listener.close();
  assert.equal(await listener.accept(), undefined);
}

test('an accept that is given up loses no session', async () => {
  const listener = listen('tcp://127.0.0.1:0');
  await listener.ready;
  const attempt = new AbortController();
  const [first, second] = [listener.accept({ signal: attempt.signal }), listener.accept()];
  attempt.abort();
  await assert.rejects(first, { name: 'AbortError' });
  const session = await dial(listener.url, { metadata: { who: 'me' } });
  assert.equal((await second).metadata.text('who'), 'me');
  await assert.rejects(listener.accept({ signal: attempt.signal }), { name: 'AbortError' });
  await session.close();
  await listener.close();
});

test('tcp', () => roundTrip('tcp://127.0.0.1:0'));
test('tcp, IPv6', () => roundTrip('tcp://[::1]:0'));
test('unix', () => roundTrip(`unix://${join(folder, 'a.sock')}`));
test('websocket', () => roundTrip('ws://127.0.0.1:0'));
test('websocket at a path', () => roundTrip('ws://127.0.0.1:0/deep/path'));
test('tls, by its pin', { skip }, () => roundTrip('tls://127.0.0.1:0', { tls }, { tls: { pin: tls?.pin } }));
test('tls, by a root', { skip }, () => roundTrip('tls://127.0.0.1:0', { tls }, { tls: { ca: tls?.cert } }));
test('websocket over tls', { skip }, () => roundTrip('wss://127.0.0.1:0', { tls }, { tls: { ca: tls?.cert } }));

test('a certificate that does not hold is no session', { skip }, async () => {
  const listener = listen('tls://127.0.0.1:0', { tls });
  await listener.ready;
  await assert.rejects(dial(listener.url), DialError);
  await assert.rejects(dial(listener.url, { tls: { pin: `sha256:${'0'.repeat(64)}` } }), /not the pinned one/);
  await listener.close();
});

test('a URL that is wrong says what is wrong', async () => {
  const cases = [
    ['nonsense', /is no URL/], ['http://a/', /not spoken here/], ['tcp://127.0.0.1', /a host and a port/],
    ['tcp://127.0.0.1:1/path', /no path/], ['unix://relative', /a path is needed/], ['unix:@name', /take a path/],
    ['ws://user:secret@host/', /no credentials/],
  ];
  for (const [url, message] of cases) {
    await assert.rejects(dial(url), message);
    assert.throws(() => listen(url), message);
  }
  assert.throws(() => new URL('ws://['), TypeError);
});

test('nobody there, somebody else there, and a dial that is given up', async () => {
  const server = createServer((socket) => socket.resume().end('220 mail.example\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await assert.rejects(dial(`tcp://127.0.0.1:${port}`), (error) => error instanceof SessionError && /does not speak libchan/.test(error.message));
  await new Promise((resolve) => { server.close(resolve); });
  await assert.rejects(dial(`tcp://127.0.0.1:${port}`), (error) => error instanceof DialError && /ECONNREFUSED/.test(error.message));
  await assert.rejects(dial(`ws://127.0.0.1:${port}`), DialError);

  const silent = createServer();
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const url = `tcp://127.0.0.1:${silent.address().port}`;
  const given = new AbortController();
  const dialed = dial(url, { signal: given.signal });
  const [socket] = await once(silent, 'connection');
  const ended = new Promise((resolve) => { socket.resume().on('error', () => {}).on('close', resolve); });
  given.abort();
  await assert.rejects(dialed, { name: 'AbortError' });
  await ended;
  silent.close();
});

test('a session may be refused by what its hello says', async () => {
  const listener = listen('tcp://127.0.0.1:0', {
    authorize(session) {
      if (session.metadata.text('token') !== 'good') throw new Error('the token is wrong');
    },
  });
  await listener.ready;
  const refused = await dial(listener.url, { metadata: { token: 'bad' } }).then(({ closed }) => closed, (error) => error);
  assert.equal(refused.kind, 'PeerClosed');
  assert.match(refused.message, /the token is wrong/);
  const good = await dial(listener.url, { metadata: { token: 'good' } });
  const there = await listener.accept();
  await Promise.all([good.close(), there.closed]);
  await listener.close();
});

test('a WebSocket is refused by origin, path and subprotocol; text ends the session', async () => {
  const listener = listen('ws://127.0.0.1:0/here', { origins: ['https://good.example'] });
  const url = await listener.ready;
  const status = async (target, protocols, options) => {
    const socket = new WebSocket(target, protocols, options);
    const [, response] = await once(socket.on('error', () => {}), 'unexpected-response');
    return response.statusCode;
  };
  assert.equal(await status(url, 'libchan.v1', { origin: 'https://evil.example' }), 403);
  assert.equal(await status(url.replace('/here', '/there'), 'libchan.v1'), 404);
  assert.equal(await status(url, 'chat'), 400);

  const accepted = listener.accept();
  const session = await dial(url, { headers: { origin: 'https://good.example' } });
  await Promise.all([(await accepted).close(), session.closed]);

  const rude = new WebSocket(url, 'libchan.v1');
  await once(rude, 'open');
  rude.send('text');
  assert.equal((await once(rude, 'close'))[0], 1002);
  await listener.close();
});

test('mounted in an http server that is there already', async () => {
  const server = createHttpServer((request, response) => response.end('hello'));
  const listener = await upgrade(server, '/chan');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'hello');
  const accepted = listener.accept();
  const session = await dial(`ws://127.0.0.1:${port}/chan`);
  void serve(await accepted);
  await work(session, 7);
  await session.close();
  server.close();
  server.closeAllConnections?.();
});

test('the socket file of a dead server is replaced, that of a living one is not', async () => {
  const path = join(folder, 'b.sock');
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(spawn(process.execPath, ['-e', script]), 'close');
  const listener = listen(`unix://${path}`);
  await listener.ready;
  await assert.rejects(listen(`unix://${path}`).ready, /EADDRINUSE/);
  await listener.close();
});

test('a link that is cut is a lost session on both sides', async () => {
  const listener = listen('tcp://127.0.0.1:0');
  await listener.ready;
  const accepted = listener.accept();
  const session = await dial(listener.url);
  const there = await accepted;
  session.abort();
  assert.ok(['Lost'].includes((await there.closed).kind));
  await listener.close();
});

test('peers that connect and send rubbish get a goodbye, and the listener goes on', async () => {
  const listener = listen('tcp://127.0.0.1:0');
  await listener.ready;
  const { port } = new URL(listener.url.replace('tcp:', 'http:'));
  for (const rubbish of ['GET / HTTP/1.1\r\n\r\n', 'libchan\x02', 'libchan\x01\xff\xff\xff\x01\0\0\0\0']) {
    const socket = connect(Number(port), '127.0.0.1');
    const parts = [];
    socket.on('data', (part) => parts.push(part));
    socket.write(Buffer.from(rubbish, 'latin1'));
    await once(socket, 'close');
    // Preface, hello, and last a goodbye.
    assert.ok(Buffer.concat(parts).includes(Buffer.from([0x0d, 0, 0, 0, 0])), rubbish);
  }
  const session = await dial(listener.url);
  await Promise.all([(await listener.accept()).close(), session.closed]);
  await listener.close();
});

// `LIBCHAN_REXEC`: where `rexec` of the Rust examples is. Its client runs a command here.
test('a client in Rust', { skip: !process.env.LIBCHAN_REXEC && 'LIBCHAN_REXEC is not set' }, async () => {
  const listener = listen('tcp://127.0.0.1:0');
  await listener.ready;
  const client = spawn(process.env.LIBCHAN_REXEC, [listener.url, '--', 'shout'], { stdio: ['pipe', 'pipe', 'inherit'] });
  client.stdin.end('from rust\n'.repeat(10_000));
  const session = await listener.accept();
  const command = (await session.accept()).receive();
  const { program, args, stdin, stdout, stderr, status } = await command.recv();
  assert.deepEqual([program, args], ['shout', []]);
  stderr.close();
  const output = (async () => {
    let text = '';
    for await (const part of client.stdout) text += part;
    return text;
  })();
  for await (const bytes of stdin) await stdout.write(Buffer.from(bytes).toString().toUpperCase());
  stdout.end();
  await status.send({ code: 7, error: null });
  assert.equal(await output, 'FROM RUST\n'.repeat(10_000));
  const [code] = client.exitCode === null ? await once(client, 'exit') : [client.exitCode];
  assert.equal(code, 7);
  await session.closed;
  await listener.close();
});
