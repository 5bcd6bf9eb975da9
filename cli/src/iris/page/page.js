// The page's side of the status. Names of clusters and topics are chosen by applications: they are only ever set as text.

import { dial, pipe } from './libchan/index.js';

const $ = (id) => document.getElementById(id);

/** What was shown last, to tell rates from. */
let before = null;
/** Requests a second, of the last two minutes. */
const rates = [];

/** What has happened since the start, and whether it is a loss. */
const TOTALS = [
  ['requests', 'requests', false], ['answered', 'answered', false], ['faults', 'faults', true], ['timeouts', 'timed out', true],
  ['no_member', 'no member', true], ['busy', 'no room', true], ['lost', 'member lost', true], ['cancelled', 'cancelled', false],
  ['broadcasts', 'broadcasts', false], ['published', 'events', false], ['delivered', 'delivered', false],
  ['dropped', 'dropped', true], ['refused', 'refused', true],
];

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** 1,234 or 56.7k. */
function count(value) {
  const number = Number(value);
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (number >= size) {
      const scaled = number / (unit === 'k' ? 1e3 : size);
      return `${scaled.toFixed(scaled < 100 ? 1 : 0)}${unit}`;
    }
  }
  return Math.round(number).toLocaleString('en');
}

function bytes(value) {
  let number = Number(value);
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (number < 1024 || unit === 'GB') return `${number < 10 && unit !== 'B' ? number.toFixed(1) : Math.round(number)} ${unit}`;
    number /= 1024;
  }
  return '';
}

function duration(ms) {
  const seconds = Math.floor(Number(ms) / 1000);
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return '0 s';
  const [size, unit] = parts[first];
  const rest = parts[first + 1] && Math.floor((seconds % size) / parts[first + 1][0]);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${parts[first + 1][1]}` : ''}`;
}

const plural = (number, one) => `${count(number)} ${one}${Number(number) === 1 ? '' : 's'}`;

/** The growth of a count a second; `null` where there is nothing to tell it from. */
function rate(now, then, seconds) {
  return then === undefined || seconds <= 0 ? null : Math.max(0, (Number(now) - Number(then)) / seconds);
}

const perSecond = (value) => (value === null ? '–' : value > 0 && value < 10 ? value.toFixed(1) : count(value));

function cluster(of) {
  const item = element('li');
  const top = element('div', 'top');
  const name = element('span', 'name', of.name);
  name.title = of.name;
  top.append(name, element('span', 'side', plural(of.members, 'member')));
  const share = Math.min(1, Number(of.in_hand) / Math.max(1, Number(of.slots)));
  const meter = element('div', share > 0.9 ? 'meter full' : 'meter');
  const bar = element('span');
  bar.style.width = `${100 * share}%`;
  meter.append(bar);
  const under = element('p', 'under', `${count(of.in_hand)} of ${count(of.slots)} slots at work`);
  if (Number(of.waiting) > 0) {
    under.append(', ', element('span', 'bad', `${count(of.waiting)} waiting`), ` (${bytes(of.waiting_bytes)})`);
  }
  item.append(top, meter, under);
  return item;
}

function topic(of, then, seconds) {
  const item = element('li');
  const top = element('div', 'top');
  const name = element('span', 'name', of.name);
  name.title = of.name;
  top.append(name, element('span', 'side', plural(of.subscriptions, 'subscription')));
  const now = perSecond(rate(of.events, then?.events, seconds));
  item.append(top, element('p', 'under', `${now} events a second, ${count(of.events)} in all, ${bytes(of.bytes)}`));
  return item;
}

function list(id, items, more, all, none) {
  if (more > 0) items.push(element('li', 'none', `and ${count(more)} more`));
  $(id).replaceChildren(...(items.length ? items : [element('li', 'none', none)]));
  $(`${id}-count`).textContent = Number(all) ? count(all) : '';
}

function spark() {
  const most = Math.max(1, ...rates);
  const points = rates.map((value, i) => `${120 - 2 * (rates.length - 1 - i)},${(31 - 28 * (value / most)).toFixed(2)}`);
  document.querySelector('#spark polyline').setAttribute('points', points.join(' '));
  const left = 120 - 2 * (rates.length - 1);
  document.querySelector('#spark polygon').setAttribute('points', `${left},32 ${points.join(' ')} 120,32`);
}

function show(now) {
  // A relay that was started again counts from nothing.
  const then = before && Number(before.uptime_ms) <= Number(now.uptime_ms) ? before : null;
  const seconds = then ? (Number(now.uptime_ms) - Number(then.uptime_ms)) / 1000 : 0;
  if (then && seconds === 0) return;
  before = now;
  const { relay } = now;
  const requests = rate(relay.requests, then?.relay.requests, seconds);
  if (requests !== null) rates.push(requests);
  if (rates.length > 61) rates.shift();
  spark();
  $('requests').textContent = perSecond(requests);
  $('events').textContent = perSecond(rate(relay.published, then?.relay.published, seconds));
  for (const id of ['under_way', 'clients', 'members']) $(id).textContent = count(relay[id]);
  list('clusters', now.clusters.map(cluster), now.more_clusters, relay.clusters, 'no cluster has a member');
  const known = new Map(then?.topics.map((of) => [of.name, of]));
  list('topics', now.topics.map((of) => topic(of, known.get(of.name), seconds)), now.more_topics, relay.topics, 'nobody is subscribed');
  $('totals').replaceChildren(...TOTALS.map(([key, text, loss]) => {
    const row = element('div');
    row.append(element('dt', '', text), element('dd', loss && Number(relay[key]) > 0 ? 'bad' : '', count(relay[key])));
    return row;
  }));
  $('about').textContent = `libchan ${now.version}, up ${duration(now.uptime_ms)}`;
}

function state(kind, text) {
  $('state').dataset.state = kind;
  $('state').textContent = text;
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** Snapshots by a channel, until the session is over. */
async function live() {
  const url = new URL('live', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const session = await dial(url);
  const leave = () => session.close();
  // Tells the server at once.
  addEventListener('pagehide', leave, { once: true });
  try {
    const [updates, snapshots] = pipe();
    await session.open('status').send({ updates });
    for await (const snapshot of snapshots) {
      show(snapshot);
      state('live', 'live');
    }
  } finally {
    removeEventListener('pagehide', leave);
    session.close();
  }
}

/** One snapshot by a request: where a proxy, or a browser with a password, lets no WebSocket through. */
async function ask() {
  const response = await fetch('status.json');
  if (!response.ok) throw new Error(`${response.status}`);
  show(await response.json());
}

show(JSON.parse($('snapshot').textContent));
for (;;) {
  await live().catch(() => {});
  // Asks every second for a while, then tries to be live again.
  for (let i = 0; i < 10; i++) {
    await ask().then(() => state('live', 'every second'), () => state('gone', 'no answer'));
    await pause(1000);
    if ($('state').dataset.state === 'gone') break;
  }
}
