// What the URLs of sockets mean to node:net and node:tls.

import { checkUrl } from '../dial.js';

const SCHEMES = ['tcp:', 'tls:', 'unix:', 'ws:', 'wss:'];

/** `{scheme, url}`, and for sockets the `address` that node:net takes. */
export function parse(url) {
  const text = String(url);
  if (text.startsWith('unix:')) return { scheme: 'unix:', address: { path: unixPath(text) } };
  const parsed = checkUrl(text, SCHEMES);
  const { protocol: scheme, hostname, port } = parsed;
  if (scheme === 'ws:' || scheme === 'wss:') return { scheme, url: parsed };
  if (!hostname || port === '') throw new TypeError(`${text}: a host and a port are needed, as in ${scheme}//127.0.0.1:7400`);
  if (parsed.pathname !== '' && parsed.pathname !== '/' || parsed.search) {
    throw new TypeError(`${text}: ${scheme} URLs have no path and no query`);
  }
  return { scheme, address: { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) } };
}

/** unix:///absolute.sock, unix:relative.sock. */
function unixPath(text) {
  const path = text.startsWith('unix://') ? text.slice('unix://'.length) : text.slice('unix:'.length);
  if (path === '' || (text.startsWith('unix://') && !path.startsWith('/'))) {
    throw new TypeError(`${text}: a path is needed, as in unix:///run/name.sock`);
  }
  // Node pads names of Linux's own space for sockets with zeros, so nobody would find them.
  if (path.startsWith('@')) throw new TypeError(`${text}: Node cannot do unix:@name; take a path`);
  return path;
}

/** The URL of a socket that listens. */
export function format(scheme, address) {
  if (typeof address === 'string') return address.startsWith('/') ? `unix://${address}` : `unix:${address}`;
  const host = address.family === 'IPv6' || address.family === 6 ? `[${address.address}]` : address.address;
  return `${scheme}//${host}:${address.port}`;
}
