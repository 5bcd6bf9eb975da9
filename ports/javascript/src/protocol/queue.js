// A first-in, first-out queue that stays fast when it is long: `Array.shift` moves everything that is left.

export class Queue {
  #items = [];
  #head = 0;

  get length() {
    return this.#items.length - this.#head;
  }

  push(item) {
    this.#items.push(item);
  }

  /** Puts an item before all others. */
  unshift(item) {
    if (this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.unshift(item);
  }

  peek() {
    return this.#items[this.#head];
  }

  /** The oldest item, or undefined. */
  shift() {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head > 64 && 2 * this.#head > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Removes an item wherever it is; says whether it was there. */
  remove(item) {
    const at = this.#items.indexOf(item, this.#head);
    if (at >= 0) this.#items.splice(at, 1);
    return at >= 0;
  }

  /** Everything that waits, taken out. */
  drain() {
    const items = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return items;
  }

  *[Symbol.iterator]() {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at];
  }
}
