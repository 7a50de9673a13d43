// How does the page talk to its workers? A promise a request; of questions that came too fast, only the newest is asked.

/** This page's own script, started again without a document. */
export function startWorker() {
  const script = document.getElementById("glasstune-script")?.textContent ?? "";
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const worker = new Worker(address);
  URL.revokeObjectURL(address);
  return worker;
}

export class Remote {
  /** @param {Worker} worker */
  constructor(worker) {
    this.worker = worker;
    this.last = 0;
    /** @type {Map<number, {done: (value: any) => void, failed: (error: Error) => void, tell?: (progress: any) => void}>} */
    this.open = new Map();
    worker.onmessage = ({ data }) => {
      const one = this.open.get(data.id);
      if (!one) return;
      if ("progress" in data) return one.tell?.(data.progress);
      this.open.delete(data.id);
      if (data.error !== undefined) one.failed(new Error(data.error));
      else one.done(data.answer);
    };
  }

  /** @param {string} what @param {any} [asked] @param {(progress: any) => void} [tell] @returns {Promise<any>} */
  call(what, asked = {}, tell) {
    const id = ++this.last;
    return new Promise((done, failed) => {
      this.open.set(id, { done, failed, tell });
      this.worker.postMessage({ id, what, asked });
    });
  }

  end() {
    this.worker.terminate();
  }
}

/** Run `work` for the newest of what is given, one at a time; what waited meanwhile is dropped.
 * @template T @param {(given: T) => Promise<void>} work @returns {(given: T) => void} */
export function newestOnly(work) {
  let busy = false;
  /** @type {{given: T} | null} */
  let waiting = null;
  return async function next(given) {
    if (busy) {
      waiting = { given };
      return;
    }
    busy = true;
    try {
      await work(given);
    } finally {
      busy = false;
      if (waiting) {
        const { given: newest } = waiting;
        waiting = null;
        next(newest);
      }
    }
  };
}
