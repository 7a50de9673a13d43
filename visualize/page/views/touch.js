// The first room: a run to touch. What it says, the whole model, time; below, everything to take it apart with.

import { h } from "../dom.js";
import { makeAnswers } from "./answers.js";
import { makeCurves } from "./curves.js";
import { makeFoot } from "./foot.js";
import { makeInstrument } from "./instrument.js";
import { makeKnockout } from "./knockout.js";
import { makeMap } from "./map.js";
import { makeMatrix } from "./matrix.js";
import { makeQuestion } from "./question.js";
import { makeSkills } from "./skills.js";
import { makeTimeline } from "./timeline.js";

/** @param {import("../page.js").Page} page */
export function makeTouchRoom(page) {
  const room = h(
    "div",
    { class: "touch" },
    h(
      "section",
      { class: "hero", "aria-label": "The run" },
      makeQuestion(page),
      makeMap(page),
      makeSkills(page),
      makeTimeline(page),
    ),
    h(
      "div",
      { class: "panels" },
      makeInstrument(page),
      makeMatrix(page),
      makeAnswers(page),
      page.taught ? makeKnockout(page) : "",
      makeCurves(page),
    ),
    makeFoot(page),
  );
  return room;
}
