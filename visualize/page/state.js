// What does the reader look at, and how do others follow? One store of plain values that can be watched and shared.
// A notebook's widget or a live feed sets the same values as the reader does.

export class State {
  /** @param {Record<string, any>} initial */
  constructor(initial) {
    /** @type {Record<string, any>} */
    this.values = { ...initial };
    this.initial = { ...initial };
    /** @type {Set<{keys: string[], told: (changed: Set<string>) => void}>} */
    this.watchers = new Set();
    /** @type {Set<string>} */
    this.changed = new Set();
    this.waiting = false;
  }

  /** @param {string} key @returns {any} */
  get(key) {
    return this.values[key];
  }

  /** Watchers are told once, after the code that is running: many changes are one. @param {Record<string, any>} values */
  set(values) {
    for (const [key, value] of Object.entries(values)) {
      if (Object.is(this.values[key], value)) continue;
      this.values[key] = value;
      this.changed.add(key);
    }
    if (this.changed.size && !this.waiting) {
      this.waiting = true;
      queueMicrotask(() => this.tell());
    }
  }

  tell() {
    this.waiting = false;
    const changed = this.changed;
    this.changed = new Set();
    for (const watcher of [...this.watchers]) {
      if (watcher.keys.some((key) => changed.has(key))) watcher.told(changed);
    }
  }

  /** Call `told` whenever one of these keys changes; returns what ends that.
   * @param {string[]} keys @param {(changed: Set<string>) => void} told */
  watch(keys, told) {
    const watcher = { keys, told };
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

// --- in the address -----------------------------------------------------------------------------------

/** How a value is written in the address, and read again. @typedef {{write: (value: any) => string, read: (text: string) => any}} Form */

const plain = { write: String, read: (/** @type {string} */ text) => text };
const numeric = {
  write: String,
  read: (/** @type {string} */ text) =>
    text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : undefined,
};
const list = {
  write: (/** @type {any[]} */ value) => value.join(","),
  read: (/** @type {string} */ text) => (text ? text.split(",").slice(0, 2000) : []),
};
/** What a teacher can link to. @type {Record<string, Form>} */
export const LINKED = {
  room: plain,
  run: numeric,
  step: numeric,
  module: plain,
  view: plain,
  strength: numeric,
  mix: numeric,
  off: list,
  prompt: plain,
  theme: plain,
};

/** The linked values as the page began, so that an address that does not name one means that. @param {State} state */
export const linkedInitial = ({ initial }) => Object.fromEntries(Object.keys(LINKED).map((key) => [key, initial[key]]));

/** "step=18&module=...": only what differs from where the page starts. @param {State} state */
export function toAddress(state) {
  const found = new URLSearchParams();
  for (const [key, form] of Object.entries(LINKED)) {
    const text = form.write(state.get(key) ?? "");
    if (text !== form.write(state.initial[key] ?? "")) found.set(key, text);
  }
  return found.toString();
}

/** What an address says, as values; whatever it does not say well is left out. @param {string} hash */
export function fromAddress(hash) {
  /** @type {Record<string, any>} */
  const found = {};
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const form = Object.hasOwn(LINKED, key) ? LINKED[key] : undefined;
    const value = form?.read(text.slice(0, 20000));
    if (value !== undefined) found[key] = value;
  }
  return found;
}
