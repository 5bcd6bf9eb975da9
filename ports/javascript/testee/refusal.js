// What a verb answers when it cannot do what it is asked: `err` with a name.

export class Refusal extends Error {
  constructor(name, text = '', more = {}) {
    super(`${name} ${text}`);
    this.fields = { name, text, ...more };
  }
}

export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const unhex = (text = '') => new Uint8Array(Buffer.from(text, 'hex'));
