// Joining bytes.

/** The parts one behind the other; a single one as it is. */
export function join(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function concat(a, b) {
  return a.length > 0 ? join([a, b]) : b.slice();
}
