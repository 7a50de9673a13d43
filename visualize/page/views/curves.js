// How did it go? Loss, skills, norms of the changes and the spectrum of the chosen matrix, all at one step.

import { fill, h, number, svg, table } from "../dom.js";
import { extent } from "../run.js";
import { strengthsOf } from "../spectrum.js";
import { follow } from "./follow.js";
import { saveTable } from "./keep.js";
import { titleOf } from "./question.js";

const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [420, 220, 46, 12, 12, 28];

/** @typedef {{name: string, points: [number, number][], strong?: boolean, kind?: string}} Line */

/** @param {import("../page.js").Page} page */
export function makeCurves(page) {
  const boxes = h("div", { class: "curves" });
  const element = h("section", { class: "panel wide", "aria-label": "Curves" }, h("h2", {}, "How it went"), boxes);
  const kinds = /** @type {[string, string, () => Line[]][]} */ ([
    ["training loss, nats a token (lower is better)", "step", () => linesOf(page.run.told.metrics, ["loss"])],
    [
      "exact answers (higher is better)",
      "step",
      () => linesOf(page.run.told.skills, null, page.run.told.task, (name) => titleOf(page, name)),
    ],
    ["forgetting: loss on each skill above its first, nats (higher is more forgotten)", "step", () => forgotten(page)],
    [
      "norm of each change",
      "step",
      () => linesOf(page.run.told.norms, null, page.state.get("module"), page.namesOf().short),
    ],
    ["singular values of the chosen matrix' change", "component", () => spectrum(page)],
  ]);
  const charts = kinds.map(([title, axis, lines]) => makeChart(page, title, axis, lines));
  fill(
    boxes,
    charts.map((chart) => chart.element),
  );
  follow(page, element, ["run", "arrived", "module"], () => charts.forEach((chart) => chart.build()));
  follow(page, element, ["run", "step", "arrived", "module"], () => charts.forEach((chart) => chart.step()));
  return element;
}

/** @param {any} data @param {string[] | null} names @param {string | null} [strong] @param {(name: string) => string} [title] @returns {Line[]} */
export function linesOf(data, names, strong = null, title = (name) => name) {
  return (names ?? Object.keys(data.columns)).filter((name) => data.columns[name]).map((name) => ({
    name: title(name),
    strong: name === strong || (names?.length ?? 0) === 1,
    points: data.steps.map((/** @type {number} */ step, /** @type {number} */ at) => [step, data.columns[name][at]]).filter((/** @type {any} */ one) => one[1] !== null),
  })); // prettier-ignore
}

/** @param {import("../page.js").Page} page @returns {Line[]} */
function forgotten(page) {
  const { losses, task } = page.run.told;
  return linesOf(losses, Object.keys(losses.columns).filter((name) => name !== task), null, (name) => titleOf(page, name))
    .map((line) => ({ ...line, strong: false, points: /** @type {[number, number][]} */ (line.points.map(([step, value]) => [step, value - line.points[0][1]])) })); // prettier-ignore
}

/** @param {import("../page.js").Page} page @returns {Line[]} */
function spectrum(page) {
  const { run, at } = page;
  const name = page.state.get("module");
  const values = run.steps.length ? strengthsOf(run, at, name) : [];
  return values.length
    ? [
        {
          name: page.namesOf().short(name),
          strong: true,
          kind: "dots",
          points: values.map((/** @type {number} */ value, /** @type {number} */ place) => [place + 1, value]),
        },
      ]
    : [];
}

/** @param {import("../page.js").Page} page @param {string} title @param {string} axis @param {() => Line[]} source
 * @param {(step: number) => void} [look] at a step that was pointed at */
export function makeChart(page, title, axis, source, look = (step) => page.state.set({ step })) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": title });
  const data = h("div", {});
  const reading = h("p", { class: "reading" });
  const details = h("details", { class: "astable", ontoggle: () => showData() }, h("summary", {}, "as a table"), data);
  const element = h("figure", { class: "chart" }, h("figcaption", {}, title), picture, reading, details);
  /** @type {Line[]} */
  let lines = [];
  let most = 1, least = 0, last = 1, first = 0; // prettier-ignore
  const x = (/** @type {number} */ value) => LEFT + ((value - first) / (last - first || 1)) * (WIDE - LEFT - RIGHT);
  const y = (/** @type {number} */ value) =>
    HIGH - BOTTOM - ((value - least) / (most - least || 1)) * (HIGH - TOP - BOTTOM);
  const cursor = svg("line", { class: "cursor", x1: -9, x2: -9, y1: TOP, y2: HIGH - BOTTOM });

  function build() {
    lines = source();
    element.hidden = !lines.some((line) => line.points.length);
    if (element.hidden) return;
    const all = lines.flatMap((line) => line.points);
    [first, last] = extent(all.map((one) => one[0]));
    [least, most] = extent(all.map((one) => one[1]), 0); // prettier-ignore
    most = Math.max(most, least + 1e-9);
    const ticks = nice(least, most);
    fill(
      picture,
      ticks.map((value) => [svg("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }), svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value))]),
      nice(first, last).map((value) => svg("text", { x: x(value), y: HIGH - 8, "text-anchor": "middle" }, Math.abs(value) < 1e4 ? number(value, 4) : value.toLocaleString("en"))),
      [...lines].sort((a, b) => Number(a.strong) - Number(b.strong)).map((line) => {
        const points = line.points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`);
        const about = svg("title", {}, line.name);
        return line.kind === "dots"
          ? svg("g", { class: "dots" }, about, line.points.map(([a, b]) => svg("circle", { cx: x(a), cy: y(b), r: 4 })))
          : svg("polyline", { class: line.strong ? "strong" : "faint", points: points.join(" ") }, about);
      }),
      axis === "step" && cursor,
    ); // prettier-ignore
    picture.onclick = (/** @type {MouseEvent} */ event) => axis === "step" && seek(event);
    showData();
  }
  /** @param {MouseEvent} event */
  function seek(event) {
    const box = picture.getBoundingClientRect();
    const wanted = first + (((event.clientX - box.left) / box.width) * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * (last - first); // prettier-ignore
    const nearest = page.run.nearest(wanted);
    if (nearest !== undefined) look(nearest);
  }
  function step() {
    if (axis !== "step") return build();
    const now = page.state.get("step");
    const place = String(x(Math.min(Math.max(now, first), last)));
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    const strong = lines
      .filter((line) => line.strong)
      .map((line) => `${line.name} ${number(line.points.findLast((one) => one[0] <= now)?.[1])}`);
    fill(reading, strong.join(", "));
  }
  const rows = () => {
    const places = [...new Set(lines.flatMap((line) => line.points.map((one) => one[0])))].sort((a, b) => a - b);
    const found = lines.map((line) => new Map(line.points));
    return places.map((place) => [place, ...found.map((one) => one.get(place) ?? null)]);
  };
  function showData() {
    if (!(/** @type {any} */ (details).open)) return;
    const heads = [axis, ...lines.map((line) => line.name)];
    fill(data, table(title, heads, rows().map(([place, ...values]) => [place, ...values.map((value) => number(value, 4))])), h("button", { type: "button", class: "quiet", onclick: () => saveTable([heads, ...rows()], `${page.run.told.name}-${title.split(/[ ,:]/)[0]}.csv`) }, "CSV")); // prettier-ignore
  }
  return { element, build, step };
}

/** Three to six round numbers between two. @param {number} low @param {number} high */
function nice(low, high) {
  const rough = (high - low) / 4;
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const by = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? rough;
  const found = [];
  for (let value = Math.ceil(low / by) * by; value <= high + by * 1e-6; value += by)
    found.push(Math.abs(value) < by * 1e-6 ? 0 : value);
  return found;
}
