// Not run: `npm run types` has the compiler look at it, as a program in TypeScript would use the library.

import { ByteStream, CallError, MustFinish, Receiver, Refused, Reply, Sender, dial, listen, oneshot, pipe } from 'libchan/node';

import { Connection, IrisError, connect } from 'libchan/iris';

interface Job {
  text: ByteStream;
  done: Sender<number>;
}

export async function client(): Promise<number | undefined> {
  const session = await dial('ws://127.0.0.1:8080', { metadata: { token: 'secret' } });
  const jobs: Sender<Job> = session.open('jobs', { capacity: 0 });
  const [done, length]: [Sender<number>, Receiver<number>] = pipe({ capacity: 1 });
  try {
    await jobs.send({ text: ByteStream.from('hello'), done }, { signal: AbortSignal.timeout(1_000) });
  } catch (error) {
    if (error instanceof Refused) console.log(error.code, error.value);
  }
  // @ts-expect-error: a number is no job
  await jobs.send(1);
  await session.close();
  return length.recv();
}

export async function caller(jobs: Sender<Job>, signal: AbortSignal): Promise<number> {
  try {
    return await jobs.call<number>((done) => ({ text: ByteStream.from('hello'), done }), { within: 1_000, signal });
  } catch (error) {
    if (error instanceof CallError && error.isSafeToRetry) return caller(jobs, signal);
    throw error;
  }
}

export async function rows(read: Sender<number>): Promise<void> {
  const rows: MustFinish<number> = read.mustFinish();
  await rows.send(1);
  rows.finish();
}

export async function leave(url: string): Promise<void> {
  const session = await dial(url);
  await session.flush();
  const error = await session.drain({ within: 1_000 });
  if (error?.kind === 'Incomplete') console.log(error.message);
  await session.going;
}

export async function once(): Promise<number> {
  const [done, answer]: [Sender<number>, Reply<number>] = oneshot();
  await done.send(1);
  return answer.value();
}

export async function server(): Promise<void> {
  const listener = listen('tcp://127.0.0.1:0', { authorize: (session) => { session.metadata.text('token'); } });
  for await (const session of listener) {
    for await (const incoming of session) {
      for await (const { text, done } of incoming.receive<Job>()) await done.send((await text.text()).length);
    }
  }
}

export async function iris(): Promise<number> {
  const relay: Connection = await connect('wss://iris.example', { metadata: { token: 'secret' } });
  const prices = await relay.subscribe<{ tea: number }>('prices', { events: 10 });
  for await (const { tea } of prices) if (tea > 3 || prices.lost > 0) break;
  prices.drop();
  await relay.publish('prices', { tea: 3 }, { signal: AbortSignal.timeout(1_000) });
  // @ts-expect-error: a request has a deadline
  await relay.request('adder', [2, 3]);
  try {
    return await relay.request<number>('adder', [2, 3], { within: 1_000, wait: false });
  } catch (error) {
    if (error instanceof IrisError && error.reason === 'NoMember' && error.isSafeToRetry) return 0;
    throw error;
  } finally {
    await relay.close();
  }
}
