// A phone's browser at the status page of an Iris relay: `node status.js URL PICTURE`. The test of the command starts it, as it
// starts the relay.

import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';

import { launch } from 'puppeteer-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Looks by the clock: in the background nothing is drawn. */
const WAIT = { polling: 50, timeout: 30_000 };

async function chromium() {
  for (const path of [process.env.CHROMIUM, ...PLACES]) {
    if (path && await access(path).then(() => true, () => false)) return path;
  }
  throw new Error(`no chromium at ${PLACES.join(', ')}: install it, or say where it is in CHROMIUM`);
}

async function look(browser, url, picture) {
  const page = await browser.newPage();
  await page.setViewport({ width: 390, height: 844, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  const troubles = [];
  const asked = [];
  page.on('pageerror', (error) => troubles.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') troubles.push(message.text()); });
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(url);
  const said = (id, text) => page.waitForFunction((of, want) => document.getElementById(of).textContent === want, WAIT, id, text);
  await said('state', 'live');
  await said('members', '5');
  // A rate takes two snapshots, a line of them some more.
  await page.waitForFunction(() => document.querySelector('#spark polyline').points.length >= 6, WAIT);
  assert.ok(Number.parseFloat(await page.$eval('#requests', (of) => of.textContent)) > 0);

  const names = await page.$$eval('#clusters .name', (all) => all.map((name) => name.textContent));
  assert.deepEqual(names.slice(0, 1), ['reports'], 'what has the most to do stands first');
  assert.ok(names.some((name) => name.startsWith('</script><img src=x')), 'a name that would be markup is text');
  assert.equal(await page.$$eval('#clusters img, #topics img', (all) => all.length), 0);
  assert.equal(await page.title(), 'iris relay');
  const reports = await page.$eval('#clusters li', (item) => item.querySelector('.under').textContent);
  assert.ok(reports.startsWith('3 of 3 slots at work, 6 waiting'), reports);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(wide, 0, 'nothing is wider than the screen');
  const polled = asked.filter((address) => address.endsWith('/status.json'));
  assert.deepEqual(polled, [], 'live by the session, not by requests');
  assert.ok(asked.every((address) => address.startsWith(url) || address.startsWith('data:')), 'nothing is from elsewhere');
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.screenshot({ path: `${picture}-${scheme}.png`, fullPage: true });
  }
  assert.deepEqual(troubles, []);
}

const [url, picture] = process.argv.slice(2);
const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
const browser = await launch({ executablePath: await chromium(), args: [...sandbox, '--disable-dev-shm-usage'] });
try {
  await look(browser, url, picture);
} finally {
  await browser.close();
}
