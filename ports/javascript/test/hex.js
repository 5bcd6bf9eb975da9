// Bytes as people read them.

export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const unhex = (text) => new Uint8Array(Buffer.from(text.replace(/\s+/g, ''), 'hex'));
