// Limits: what a side accepts, and what holds between two (spec/9-limits.md).

import { HELLO_LIMITS } from './frames.js';
import { MAX_HEADERS } from './numbers.js';

/** What a hello states by default; the names are those of the hello's fields. */
export const DEFAULT_LIMITS = Object.freeze({
  max_frame: 65_536,
  max_message: 16_777_216,
  max_attachments: 64,
  max_channels: 65_536,
  max_pending_accepts: 256,
  initial_window: 2_048,
  stream_window: 16_384,
  session_memory: 536_870_912,
  max_descriptors: 0,
});

/** Limits that the peer is not told of. Times are in milliseconds. */
export const LOCAL_LIMITS = Object.freeze({
  max_window: 8_388_608,
  max_hello: 16_384,
  hello_timeout: 10_000,
  max_control: 1_048_576,
  max_pings: 100,
  ping_after: 15_000,
  dead_after: 45_000,
});

/** What a sender may wait for before it starts a message: the fixed part of any, and one byte. */
export const floorOf = ({ max_attachments }) => 33 + MAX_HEADERS + 16 * max_attachments;

const MAX_WINDOW = 536_870_911;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Brings each limit into its range. */
export function saneLimits(limits) {
  const initial_window = clamp(limits.initial_window, 512, MAX_WINDOW);
  return {
    ...limits,
    max_frame: clamp(limits.max_frame, 4_096, 0xff_ffff),
    max_message: Math.min(limits.max_message, Math.floor(limits.session_memory / 4)),
    max_attachments: Math.min(limits.max_attachments, 253, Math.floor((initial_window - MAX_HEADERS - 65) / 16)),
    initial_window,
    stream_window: clamp(limits.stream_window, 256, MAX_WINDOW),
  };
}

/** What holds between two sides: of each limit the smaller. */
export function agreeLimits(ours, theirs) {
  const agreed = {};
  for (const name of HELLO_LIMITS) agreed[name] = Math.min(ours[name], theirs[name]);
  return saneLimits(agreed);
}
