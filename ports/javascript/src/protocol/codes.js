// Error codes, as CLOSE, CANCEL, END, STOP and GOODBYE carry them (spec/8-errors.md).

export const Code = Object.freeze({
  NONE: 0,
  PROTOCOL: 1,
  UNSUPPORTED_VERSION: 2,
  NO_COMMON_CODEC: 3,
  FRAME_TOO_LARGE: 4,
  MESSAGE_TOO_LARGE: 5,
  TOO_MANY_ATTACHMENTS: 6,
  TOO_MANY_CHANNELS: 7,
  FLOW_CONTROL: 8,
  UNKNOWN_ID: 9,
  MEMORY: 10,
  HELLO_TIMEOUT: 11,
  PEER_SILENT: 12,
  PING_FLOOD: 13,
  PEER_NOT_READING: 14,
  DESCRIPTORS: 15,
  UNAUTHORIZED: 16,
  UNAVAILABLE: 17,
  REFUSED: 32,
  ACCEPT_QUEUE_FULL: 33,
  CLOSED: 34,
  DISCONNECTED: 35,
  GOING_AWAY: 36,
  UNCLAIMED: 37,
  NOT_DECODED: 38,
  NOT_DELIVERED: 39,
  PANICKED: 40,
  NO_REPLY: 41,
  ABANDONED: 42,
  SESSION_CLOSED: 43,
  /** The application's code c travels as APPLICATION + c. */
  APPLICATION: 256,
});

const names = new Map(Object.entries(Code).map(([name, code]) => [code, name]));

/** The name of a code of the protocol, or `code N`. */
export function codeName(code) {
  return code < Code.APPLICATION && names.get(code) || `code ${code}`;
}

/** A code and a text for people. */
export function reason(code = Code.NONE, text = '') {
  return { code, text };
}

/** The peer broke a rule: `code` is what it is told. */
export class ProtocolError extends Error {
  constructor(text, code = Code.PROTOCOL) {
    super(text);
    this.name = 'ProtocolError';
    this.code = code;
  }
}

/** A command that a limit of the session forbids; `code` says which. */
export class LimitError extends Error {
  constructor(code) {
    super(`a limit of the session would be passed: ${codeName(code)}`);
    this.name = 'LimitError';
    this.code = code;
  }
}
