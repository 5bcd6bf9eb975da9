// Two tabs of a browser in the room of examples/chat: `node chat.js URL PICTURE`. The test of that example starts it, as
// it starts the server.

import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';

import { launch } from 'puppeteer-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Looks by the clock: in the background nothing is drawn. */
const WAIT = { polling: 50, timeout: 20_000 };

async function chromium() {
  for (const path of [process.env.CHROMIUM, ...PLACES]) {
    if (path && await access(path).then(() => true, () => false)) return path;
  }
  throw new Error(`no chromium at ${PLACES.join(', ')}: install it, or say where it is in CHROMIUM`);
}

/** A tab with the page, in which somebody has come in. */
async function enter(browser, url, name) {
  const page = await browser.newPage();
  await page.setViewport({ width: 560, height: 640, deviceScaleFactor: 2 });
  const troubles = [];
  page.on('pageerror', (error) => troubles.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') troubles.push(message.text()); });
  await page.goto(url);
  await page.type('#name', name);
  await page.click('#enter button');
  await page.waitForFunction((who) => document.getElementById('state').textContent === `in the room as ${who}`, WAIT, name);
  return { page, name, troubles };
}

async function say({ page }, text) {
  // A tab in the background draws nothing, and clicks wait for that.
  await page.bringToFront();
  await page.type('#text', text);
  await page.click('#write button');
}

/** Waits for a line with this class, and author if it has one. */
function seen({ page }, kind, text, author = '') {
  const found = (want) => [...document.querySelectorAll(`#lines .${want.kind}`)].some((line) => (
    line.querySelector('span').textContent === want.text && (line.querySelector('b')?.textContent ?? '') === want.author
  ));
  return page.waitForFunction(found, WAIT, { kind, text, author });
}

async function talk(browser, url, picture) {
  const ann = await enter(browser, url, 'ann');
  const bob = await enter(browser, url, 'bob');
  await seen(ann, 'notice', 'bob has come in. Here are: ann, bob');
  await say(ann, 'Hello bob, can you hear me?');
  await seen(bob, 'theirs', 'Hello bob, can you hear me?', 'ann');
  await seen(ann, 'mine', 'Hello bob, can you hear me?', 'ann');
  await say(bob, 'Loud and clear: ünïcödé ✓ <b>and no markup</b>');
  await seen(ann, 'theirs', 'Loud and clear: ünïcödé ✓ <b>and no markup</b>', 'bob');
  await ann.page.bringToFront();
  await ann.page.screenshot({ path: picture });
  // Many at once arrive in order.
  await bob.page.evaluate(() => {
    for (let i = 1; i <= 20; i++) {
      document.getElementById('text').value = `${i}`;
      document.getElementById('write').requestSubmit();
    }
  });
  await seen(ann, 'theirs', '20', 'bob');
  const numbers = await ann.page.$$eval('#lines .theirs span', (spans) => spans.map((span) => Number(span.textContent)).filter((n) => n > 0));
  assert.deepEqual(numbers, Array.from({ length: 20 }, (_, i) => i + 1));
  await say(ann, 'That was quick.');
  await seen(bob, 'theirs', 'That was quick.', 'ann');
  await bob.page.close();
  await seen(ann, 'notice', 'bob has left');
  assert.deepEqual([...ann.troubles, ...bob.troubles], []);
}

const [url, picture] = process.argv.slice(2);
const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
const browser = await launch({ executablePath: await chromium(), args: [...sandbox, '--disable-dev-shm-usage'] });
try {
  await talk(browser, url, picture);
} finally {
  await browser.close();
}
