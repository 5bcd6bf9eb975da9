// TLS as the carrier tls wants it (spec/carriers/tls.md).

import { connect, createServer } from 'node:tls';
import { isIP } from 'node:net';

const ALPN = 'libchan/1';

/** A socket that emits `libchan-verified` when the handshake has agreed on libchan and the server is who it should be. */
export function connectTls({ host, port }, { ca, pin, cert, key, servername } = {}) {
  const name = servername ?? (isIP(host) ? '' : host);
  const socket = connect({
    host, port, ca, cert, key, servername: name, ALPNProtocols: [ALPN], minVersion: 'TLSv1.2',
    // A pin takes the place of roots, names and dates; it is compared below.
    rejectUnauthorized: pin === undefined,
  });
  socket.once('secureConnect', () => {
    if (pin !== undefined && fingerprint(socket) !== String(pin).toLowerCase()) {
      socket.destroy(new Error('the server\'s certificate is not the pinned one'));
    } else if (socket.alpnProtocol !== ALPN) {
      socket.destroy(new Error(`a TLS server, but not one of libchan: it did not agree on ${ALPN}`));
    } else {
      socket.emit('libchan-verified');
    }
  });
  return socket;
}

function fingerprint(socket) {
  const hex = socket.getPeerCertificate().fingerprint256 ?? '';
  return `sha256:${hex.replaceAll(':', '').toLowerCase()}`;
}

/** A server of node:tls; connections that did not agree on libchan are refused by the handshake. */
export function createTlsServer({ cert, key, ca, requestCert = false } = {}, onConnection) {
  if (!cert || !key) throw new TypeError('tls: listening needs the options {tls: {cert, key}}, as PEM');
  const server = createServer({
    cert, key, ca, requestCert, rejectUnauthorized: requestCert, ALPNProtocols: [ALPN], minVersion: 'TLSv1.2',
  });
  server.on('secureConnection', (socket) => {
    if (socket.alpnProtocol === ALPN) onConnection(socket);
    else socket.destroy();
  });
  // A client that fails its handshake hears of it by an alert.
  server.on('tlsClientError', () => {});
  return server;
}
