// frame.decode and frame.encode.

import { Code, ProtocolError, codeName } from '../src/protocol/codes.js';
import { HELLO_LIMITS, decodeFrame, decodeHeader, encodeFrame } from '../src/protocol/frames.js';
import { DEFAULT_LIMITS } from '../src/protocol/limits.js';
import { Refusal, hex, unhex } from './refusal.js';

export const metadataToJson = (metadata) => metadata.map(([key, value]) => [key, hex(value)]);
export const metadataFromJson = (metadata = []) => metadata.map(([key, value]) => [key, unhex(value)]);

export function frameToJson(frame) {
  const json = { ...frame };
  if (json.payload) json.payload = hex(json.payload);
  if (json.headers) json.headers = hex(json.headers);
  if (json.metadata) json.metadata = metadataToJson(json.metadata);
  return json;
}

const ABSENT = {
  HELLO: { codecs: [], features: 0, ...Object.fromEntries(HELLO_LIMITS.map((name) => [name, 0])) },
  OPEN: { capacity: 0, name: '' },
  MESSAGE: { flags: 0, codec: 0, attachments: [] },
  FRAGMENT: { flags: 0 },
  CREDIT: { taken: 0, wanted: 0, bytes: 0 },
  CLOSE: { scope: 0, code: 0, text: '' },
  CANCEL: { scope: 0, taken: 0, code: 0, text: '' },
  END: { code: 0, text: '' },
  STOP: { code: 0, text: '' },
  GOODBYE: { code: 0, text: '' },
};

export function frameFromJson(json) {
  const frame = { id: 0, ...ABSENT[json.t], ...json, payload: unhex(json.payload), metadata: metadataFromJson(json.metadata) };
  if (json.headers) frame.headers = unhex(json.headers);
  frame.attachments = json.attachments?.map((entry) => ({ kind: 0, id: 0, capacity: 0, wanted: 0, ...entry })) ?? [];
  return frame;
}

/** The bytes of a frame, or of a preface. */
export function bytesOf(json) {
  if (json.t === 'PREFACE') return Uint8Array.of(...Buffer.from('libchan'), json.version ?? 1);
  return encodeFrame(frameFromJson(json));
}

export const frameVerbs = {
  'frame.decode'({ hex: text }) {
    const bytes = unhex(text);
    try {
      const header = decodeHeader(bytes);
      if (header?.length > DEFAULT_LIMITS.max_frame) throw new ProtocolError('a frame too large', Code.FRAME_TOO_LARGE);
      if (header?.length !== bytes.length - 8) throw new ProtocolError('not one whole frame');
      return frameToJson(decodeFrame(header, bytes.subarray(8)));
    } catch (error) {
      if (error instanceof ProtocolError) throw new Refusal(codeName(error.code), error.message);
      throw error;
    }
  },
  'frame.encode': ({ frame }) => ({ hex: hex(bytesOf(frame)) }),
};
