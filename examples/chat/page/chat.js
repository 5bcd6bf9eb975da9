// The page's side of the chat. The modules of libchan are imported as they are: there is no build step.

import { dial, pipe } from './libchan/index.js';

const $ = (id) => document.getElementById(id);

/** One visit: from coming in until the session is over. */
async function visit(name) {
  const url = new URL('chat', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const session = await dial(url);

  const [messages, lines] = pipe();
  const [say, says] = pipe();
  await session.open('join').send({ name, messages, says });
  state(`in the room as ${name}`);
  enter(false);

  $('write').onsubmit = async (event) => {
    event.preventDefault();
    const { value } = $('text');
    $('text').value = '';
    if (value.trim()) await say.send(value).catch((error) => state(error.message));
  };
  // Tells the server at once; a tab that is lost without a word is noticed by its silence.
  addEventListener('pagehide', () => session.close(), { once: true });

  try {
    for await (const { author, text } of lines) show(author, text, name);
    state('the room has closed');
  } finally {
    session.close();
  }
}

function show(author, text, me) {
  const line = document.createElement('li');
  line.className = author === null ? 'notice' : author === me ? 'mine' : 'theirs';
  if (author !== null) {
    const by = document.createElement('b');
    by.textContent = author;
    line.append(by);
  }
  const said = document.createElement('span');
  said.textContent = text;
  line.append(said);
  $('lines').append(line);
  line.scrollIntoView();
}

function state(text) {
  $('state').textContent = text;
}

function enter(asks) {
  $('enter').hidden = !asks;
  $('write').hidden = asks;
  (asks ? $('name') : $('text')).focus();
}

$('enter').onsubmit = async (event) => {
  event.preventDefault();
  try {
    await visit($('name').value);
  } catch (error) {
    state(error.message);
  }
  enter(true);
};
