// What does the model say? One question, large; the base's answer and the tuned one's, token by token.

import { fill, h } from "../dom.js";
import { isRight } from "../engine/grade.js";
import { newestOnly } from "../lab.js";
import { bare } from "../setting.js";
import { follow, MODEL, nameOfStep } from "./follow.js";
import { makeTokens } from "./tokens.js";

/** @param {import("../page.js").Page} page */
export function makeQuestion(page) {
  const { state } = page;
  const input = h("input", {
    id: "prompt", type: "text", autocomplete: "off", spellcheck: "false", maxlength: "400", "aria-label": "Ask the model anything",
    oninput: () => state.set({ prompt: input.value }),
  }); // prettier-ignore
  const before = h("div", { class: "said", "aria-live": "off" });
  const now = h("div", { class: "said now", "aria-live": "polite" });
  const nowName = h("h3", {});
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Questions to try" });
  const element = h(
    "div",
    { class: "question" },
    h("label", { class: "ask", for: "prompt" }, h("span", { class: "mark", "aria-hidden": "true" }, "›"), input),
    h("div", { class: "answers2" }, h("div", { class: "side" }, h("h3", {}, "before"), before), h("div", { class: "arrow", "aria-hidden": "true" }, "→"), h("div", { class: "side" }, nowName, now)),
    chips,
  ); // prettier-ignore

  /** What stands before the question; or why it is not asked anew. */
  const context = h("p", { class: "what before", hidden: true });
  element.firstChild.after(context);

  const askBoth = newestOnly(async (/** @type {string} */ prompt) => {
    const setting = page.setting();
    const name = page.pristine ? nameOfStep(page, setting.parts[0].step) : "now";
    const [[first], [second]] = [await page.ask(bare(), [prompt]), await page.ask(setting, [prompt])];
    if (state.get("prompt") !== prompt || !page.playable) return;
    show(before, first, prompt);
    show(now, second, prompt);
    fill(nowName, name);
    element.dataset.answered = JSON.stringify([prompt, second?.text ?? null]);
  });

  /** @param {any} place @param {boolean | null} [right] null where that is not known */
  function mark(place, right = null) {
    place.className = `said ${place === now ? "now" : ""} ${right === null ? "" : right ? "right" : "wrong"}`;
  }

  /** @param {any} place @param {any} answer @param {string} prompt */
  function show(place, answer, prompt) {
    const right = answer ? rightOf(page, prompt, answer) : null;
    mark(place, right);
    fill(
      place,
      answer ? makeTokens(answer) : "…",
      right !== null &&
        h("span", { class: "verdict" }, right ? "✓" : "✗", h("span", { class: "hidden" }, right ? "right" : "wrong")),
    );
  }

  /** What was captured: where no model runs, or where nobody knows all that it would have to be given. @param {string} prompt */
  function showCaptured(prompt) {
    element.dataset.answered = "[]";
    const [first, last] = capturedOf(page, prompt);
    const at = page.playable && !page.pristine ? undefined : last; // of the model as the reader has set it, nothing was
    for (const [place, row] of [
      [before, first],
      [now, at],
    ])
      if (row) {
        mark(place, row.correct);
        fill(place, row.answer || "(nothing)", h("span", { class: "verdict" }, row.correct ? "✓" : "✗"));
      } else {
        mark(place);
        fill(place, "–");
      }
    fill(nowName, at ? nameOfStep(page, at.step) : "after");
  }

  /** @param {string} prompt */
  function showContext(prompt) {
    const chat = page.chatOf(prompt);
    const earlier = (chat ?? []).slice(0, -1).map(({ role, content }) => `${role}: ${content}`);
    context.hidden = chat?.length === 1;
    fill(context, chat ? `after ${earlier.join(" · ")}` : "Captured, and not asked anew: what stood before it is not known here."); // prettier-ignore
  }

  function showChips() {
    const seen = new Map([...probesOf(page), ...page.manifest.probes].reverse().map((row) => [row.prompt, row]));
    fill(chips, [...seen.values()].reverse().map((/** @type {any} */ row) =>
      h("button", { type: "button", title: row.prompt, "data-focus": row.prompt, onclick: () => state.set({ prompt: row.prompt }), "aria-pressed": String(row.prompt === state.get("prompt")) }, row.prompt.length > 34 ? `${row.prompt.slice(0, 32)}…` : row.prompt))); // prettier-ignore
  }

  follow(page, element, [...MODEL, "prompt", "ready"], () => {
    const prompt = state.get("prompt");
    if (input.value !== prompt) input.value = prompt;
    input.readOnly = !page.playable;
    if (page.playable && page.chatOf(prompt)) askBoth(prompt);
    else showCaptured(prompt);
    showContext(prompt);
  });
  follow(page, element, ["prompt", "run"], showChips);
  return element;
}

/** The run's own questions, or those that the page brings. @param {import("../page.js").Page} page @returns {any[]} */
export function probesOf(page) {
  const rows = page.run.told.answers;
  const { asked } = page.run.told;
  if (asked) {
    const others = page.manifest.probes.filter(
      (/** @type {any} */ { prompt }) => !asked.some((/** @type {any} */ one) => one.prompt === prompt),
    );
    return [...asked, ...others.map((/** @type {any} */ one) => ({ ...one, expected: expectedOf(page, one.prompt) }))];
  }
  return rows.length ? rows.filter((/** @type {any} */ row) => row.step === rows[0].step) : page.manifest.probes;
}

/** What the run answered itself: at first, and last at or before the step that is looked at. Undefined where it was not asked.
 * @param {import("../page.js").Page} page @param {string} prompt @returns {[any, any]} */
export function capturedOf(page, prompt) {
  const rows = page.run.told.answers.filter((/** @type {any} */ row) => row.prompt === prompt);
  return [rows[0], rows.filter((/** @type {any} */ row) => row.step <= page.state.get("step")).at(-1)];
}

/** Was this answer right? Null where that is not known: the right one is not, or lies beyond where this one was cut, or a rule
 * that is not in the page grades it, and this answer was not among those captured; or what was asked is not the whole question.
 * @param {import("../page.js").Page} page @param {string} prompt @param {{text: string, cut: boolean}} answer */
export function rightOf(page, prompt, { text, cut }) {
  if (!page.chatOf(prompt)) return null;
  const captured = page.run.told.answers.find((/** @type {any} */ row) => row.prompt === prompt && row.answer === text);
  if (captured) return captured.correct;
  const expected = expectedOf(page, prompt);
  return !expected || (cut && expected.startsWith(text)) ? null : isRight(expected, text);
}

/** The right answer, where it is known; "" where a rule grades. @param {import("../page.js").Page} page @param {string} prompt
 * @returns {string | null} */
function expectedOf(page, prompt) {
  const same = (/** @type {any} */ row) => row.prompt === prompt;
  const { asked = [], typed = [], answers } = page.run.told;
  const found = [...asked, ...answers].find(same);
  if (found) return found.expected;
  // Of what the run was taught, before anything else; another task may want another answer to the same question.
  const own = page.data ?? { heldout: [], train: [] };
  const taught = Object.values(page.manifest.skills).flatMap((skill) => (skill.closed ? skill.examples : []));
  const probes = page.manifest.probes.map((/** @type {any} */ { prompt, expected }) => [{ content: prompt }, { content: expected }]); // prettier-ignore
  const chats = [...typed, ...own.heldout, ...own.train, ...probes, ...taught];
  return chats.find((chat) => chat.length === 2 && chat[0].content === prompt)?.[1].content ?? null;
}

/** A skill's name for people. @param {import("../page.js").Page} page @param {string} skill */
export function titleOf(page, skill, run = page.run) {
  const { titles = {} } = run.told; // a skill may be called anything, "constructor" too
  if (Object.hasOwn(titles, skill)) return titles[skill];
  return Object.hasOwn(page.manifest.skills, skill) ? page.manifest.skills[skill].title : skill;
}
