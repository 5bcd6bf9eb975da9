// Bounds of the numbers on the wire.

/** Capacities, and receives that wait: what 32 bits with a sign hold. */
export const MAX_COUNT = 2_147_483_647;
/** The highest credit of a channel or stream, in bytes. */
export const MAX_CREDIT = 2_147_483_647;
/** The headers of a message, in bytes. */
export const MAX_HEADERS = 255;
