// Can this be believed? What the page computes beside torch's numbers, what it leaves out, and where it comes from.

import { fill, h, number } from "../dom.js";
import { bare } from "../setting.js";
import { follow } from "./follow.js";

const KINDS = {
  relaxed: "WebAssembly with fused multiply-add",
  simd: "WebAssembly",
  plain: "plain JavaScript (slower)",
};

/** @param {import("../page.js").Page} page */
export function makeFoot(page) {
  const parity = h("div", { class: "parity" });
  const left = h("div", {});
  const element = h("footer", {}, parity, left);
  /** @type {Set<any>} */
  const checked = new Set();

  async function check() {
    if (!page.live || !page.lab || !page.state.get("ready")) return;
    const { base } = page.manifest;
    const tests = [["the base", base.parity, bare()]];
    page.runs.forEach((run, at) => {
      if (run.told.parity && run.steps.includes(run.told.parity.step))
        tests.push([
          run.told.what,
          run.told.parity,
          { parts: [{ run: String(at), step: run.told.parity.step, share: 1 }], strength: 1, off: [] },
        ]);
    });
    for (const [name, asked, setting] of tests) {
      if (!asked || checked.has(asked)) continue;
      checked.add(asked);
      const tensors = await page.source.tensors(asked.logits);
      const logits = asked.ids.map((/** @type {any} */ _, /** @type {number} */ at) => tensors.get(String(at)).data);
      const found = await page.tell("parity", { setting, ids: asked.ids, logits, answers: asked.answers });
      if (!found) return;
      const text = `${name}: this browser's numbers are within ${number(found.furthest, 2)} of torch ${asked.torch}'s (logits), and ${found.same} of ${found.count} answers are the same.`;
      parity.append(h("p", { class: found.same === found.count ? "" : "apart" }, text));
      element.dataset.parity = JSON.stringify({ ...JSON.parse(element.dataset.parity ?? "{}"), [name]: found });
    }
    if (!element.dataset.kernels && page.kernels) {
      element.dataset.kernels = page.kernels;
      parity.append(h("p", {}, `Matrix products: ${KINDS[page.kernels]}.`));
    }
  }
  function show() {
    const { told } = page.run;
    fill(
      left,
      page.failed &&
        h("p", { class: "apart" }, `The model does not run here: ${page.failed}. What stands above was captured.`),
      told.left_out.length > 0 && h("p", {}, "Not in this page, or not whole: ", told.left_out.join("; "), "."),
      h(
        "p",
        {},
        `Made by Glasstune from a real training (${told.place}). Every pixel is a measured number. Nothing leaves this page.`,
      ),
    );
  }
  follow(page, element, ["run", "ready", "arrived"], () => {
    show();
    check();
  });
  return element;
}
