// Random numbers that can be had again: `LIBCHAN_SEED` takes the place of a new seed, which is printed.

export function seeded(t, seed = Number(process.env.LIBCHAN_SEED ?? Math.floor(Math.random() * 2 ** 31))) {
  t.diagnostic(`LIBCHAN_SEED=${seed}`);
  let state = seed >>> 0;
  /** A whole number below n. */
  const below = (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
  const pick = (items) => items[below(items.length)];
  return { seed, below, pick, chance: (n) => below(n) === 0 };
}
