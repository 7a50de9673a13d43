// Where did each branch go? All trainings of this page on one plane: the two directions in which their changes differ most.

import { fill, h, percent, svg } from "../dom.js";
import { ratesOf } from "../own.js";
import { follow } from "./follow.js";

const POINTS = 40; // of all runs together
const [WIDE, HIGH, EDGE] = [460, 300, 26];

/** @param {import("../page.js").Page} page */
export function makePlane(page) {
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img" });
  const note = h("p", { class: "what" });
  const key = h("ul", { class: "key" });
  const element = h(
    "section",
    { class: "panel plane", hidden: true, "aria-label": "The ways of all trainings" },
    h("h2", {}, "Which way did each go?"),
    note,
    picture,
    key,
  );
  let drawn = "";

  follow(page, element, ["run", "runs", "arrived", "step"], () => {
    const runs = page.present.filter((run) => run.told.own && run.steps.length > 1 && run.told.status !== "running");
    element.hidden = runs.length < 1;
    const now = runs.map((run) => [run.told.name, run.steps.length, run.told.status]).join();
    if (now === drawn) return;
    drawn = now;
    if (!runs.length) return;
    const each = Math.max(2, Math.floor(POINTS / runs.length));
    const points = runs.flatMap((run) =>
      thinned(run.steps, each).map((at) => ({ run, step: run.steps[at], change: whole(run, at) })),
    );
    const { places, shares } = project(points.map((point) => point.change));
    draw(points, places, shares, runs);
  });

  /** @param {any[]} points @param {number[][]} places @param {number[]} shares @param {any[]} runs */
  function draw(points, places, shares, runs) {
    const range = (/** @type {number} */ axis) => [
      Math.min(...places.map((one) => one[axis])),
      Math.max(...places.map((one) => one[axis])),
    ];
    const [[x0, x1], [y0, y1]] = [range(0), range(1)];
    const scale = Math.min((WIDE - 2 * EDGE) / (x1 - x0 || 1), (HIGH - 2 * EDGE) / (y1 - y0 || 1));
    const at = (/** @type {number[]} */ place) => [
      EDGE + (place[0] - x0) * scale,
      HIGH - EDGE - (place[1] - y0) * scale,
    ];
    const colours = ["var(--delta)", "var(--A)", "var(--B)", "var(--qlora)", "var(--full)", "var(--muted)"];
    const lines = runs.map((run, order) => {
      const mine = points
        .map((point, index) => ({ point, place: at(places[index]) }))
        .filter(({ point }) => point.run === run);
      const colour = colours[order % colours.length];
      const path = svg("polyline", { class: "way", points: mine.map(({ place }) => place.join()).join(" ") });
      path.style.setProperty("stroke", colour);
      const end = mine[mine.length - 1].place;
      const dots = mine.map(({ point, place }) => {
        const dot = svg(
          "circle",
          { cx: place[0], cy: place[1], r: 3.4 },
          svg("title", {}, `${run.told.name}, step ${point.step}`),
        );
        dot.style.setProperty("fill", colour);
        dot.addEventListener(
          "click",
          () => (page.choose(page.runs.indexOf(run)), page.state.set({ step: point.step })),
        );
        return dot;
      });
      return [path, dots, svg("text", { x: end[0] + 6, y: end[1] - 6 }, run.told.name)];
    });
    fill(picture, lines);
    fill(
      note,
      `Every dot is the whole change at one step; near dots are near models. The plane holds ${percent(shares[0] + shares[1])} of all differences between them.`,
    );
    picture.setAttribute(
      "aria-label",
      `${runs.length} trainings as ways on a plane: ${runs.map((run) => `${run.told.name} to step ${run.steps.at(-1)}`).join(", ")}`,
    );
    fill(
      key,
      runs.map((run) => h("li", {}, `${run.told.name}: ${run.told.what}, rate ${ratesOf(run.told.info.settings)}`)),
    );
  }
  return element;
}

/** Places of at most `most` of them, evenly, the first and the last too. @param {number[]} steps @param {number} most */
function thinned(steps, most) {
  const count = Math.min(most, steps.length);
  return [
    ...new Set(
      Array.from({ length: count }, (_, at) => Math.round((at * (steps.length - 1)) / Math.max(1, count - 1))),
    ),
  ];
}

/** Every weight's change at a step, by module. @param {import("../run.js").RunData} run @param {number} at */
const whole = (run, at) =>
  new Map(run.modules.map(({ name }) => [name, /** @type {Float32Array} */ (run.delta(at, name))]));

/** The two main directions of points (PCA), through the products of the points with each other: exact, whatever their size.
 * @param {Map<string, Float32Array>[]} points @returns {{places: number[][], shares: number[]}} */
export function project(points) {
  const n = points.length;
  const gram = points.map((a, i) => points.map((b, j) => (j <= i ? dot(a, b) : 0)));
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) gram[i][j] = gram[j][i];
  const mean = gram.map((line) => line.reduce((sum, value) => sum + value, 0) / n);
  const all = mean.reduce((sum, value) => sum + value, 0) / n;
  const centred = gram.map((line, i) => line.map((value, j) => value - mean[i] - mean[j] + all));
  const total = centred.reduce((sum, line, i) => sum + line[i], 0) || 1;
  /** @type {number[][]} */
  const axes = [];
  const sizes = [0, 1].map(() => {
    let vector = Array.from({ length: n }, (_, i) => Math.sin(i + 1));
    let size = 0;
    for (let round = 0; round < 200; round++) {
      for (const axis of axes) {
        const share = vector.reduce((sum, value, i) => sum + value * axis[i], 0);
        vector = vector.map((value, i) => value - share * axis[i]);
      }
      const next = centred.map((line) => line.reduce((sum, value, i) => sum + value * vector[i], 0));
      size = Math.hypot(...next);
      if (!(size > 0)) break;
      vector = next.map((value) => value / size);
    }
    axes.push(vector);
    return size;
  });
  return {
    places: points.map((_, i) => axes.map((axis, k) => axis[i] * Math.sqrt(sizes[k]))),
    shares: sizes.map((size) => size / total),
  };
}

/** @param {Map<string, Float32Array>} a @param {Map<string, Float32Array>} b */
function dot(a, b) {
  let sum = 0;
  for (const [name, one] of a) {
    const other = b.get(name);
    if (other) for (let at = 0; at < one.length; at++) sum += one[at] * other[at];
  }
  return sum;
}
