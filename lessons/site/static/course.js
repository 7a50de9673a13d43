// What a page of the course does by itself: checks answers, turns pictures, sorts the ledger. It asks nobody.
"use strict";

/** What a form, a reveal or a set of pictures holds. */
const about = (element) =>
  JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(element.dataset.about), (letter) => letter.charCodeAt(0))));

const SPOT = `glasstune ${location.pathname.split("/").slice(-1)}`;

/** A message in the page's language (`words.js`), with its {fields} filled in. */
const tr = (message, fields = {}) =>
  (globalThis.SAID?.[message] ?? message).replace(/\{(\w+)\}/g, (all, name) => fields[name] ?? all);

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(SPOT)) ?? {};
  } catch {
    return {};
  }
}

function remember(number, choice) {
  try {
    localStorage.setItem(SPOT, JSON.stringify({ ...remembered(), [number]: choice }));
  } catch {
    // Some browsers keep nothing for files: then nothing is kept.
  }
}

/** The numbers that these characters may mean: "1,5" is one and a half in half of the world, "1,500" may be either. */
function numbers(typed) {
  const plain = typed.replaceAll("%", "").replaceAll("\u2212", "-").trim();
  const forms = [plain];
  if (plain.split(",").length === 2) forms.push(plain.replace(",", "."));
  if (/^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$/.test(plain)) forms.push(plain.replaceAll(",", ""));
  return forms.filter((form) => form !== "" && Number.isFinite(Number(form))).map(Number);
}

function isRight(asked, given) {
  if (asked.choices.length) return given === asked.answer;
  if (typeof asked.answer === "string") return given.trim().toLowerCase() === asked.answer.toLowerCase();
  const margin = asked.tolerance * Math.max(1e-12, Math.abs(asked.answer));
  return numbers(given).some((number) => Math.abs(number - asked.answer) <= margin);
}

/** Lines of text, each a line of its own. */
function say(verdict, lines) {
  verdict.replaceChildren(...lines.filter(Boolean).flatMap((line) => [line, document.createElement("br")]));
}

function predict(form, asked) {
  const revealed = document.querySelector(`.reveal[data-number="${asked.number}"]`);
  const verdict = form.querySelector(".verdict");
  const choose = (guess) => {
    if (!revealed) return say(verdict, [tr("This was not measured here.")]);
    revealed.closest("details")?.setAttribute("open", "");
    const found = about(revealed);
    if (found.undecided) return say(verdict, [tr("Not decided: {why}", { why: found.undecided })]);
    if (!found.judged)
      return say(verdict, [
        tr("Measured: {measured} (too short a training to judge a prediction by it).", { measured: found.measured }),
      ]);
    const right = guess === found.measured;
    const reason = asked.reasons[asked.choices.indexOf(guess)];
    say(verdict, [
      tr("Measured: {measured}", { measured: found.measured }) +
        ` \u2013 ${right ? tr("as you predicted.") : tr("you predicted: {guess}.", { guess })}`,
      found.why && tr("Why: {why}", { why: found.why }),
      !right && reason && tr("On your guess: {why}", { why: reason }),
    ]);
    form.dataset.right = right;
  };
  form.addEventListener("change", (event) => {
    remember(asked.number, event.target.value);
    choose(asked.choices[event.target.value]);
  });
  const before = remembered()[asked.number];
  if (asked.choices[before] !== undefined) {
    form.elements[`q${asked.number}`][before].checked = true;
    choose(asked.choices[before]);
  }
}

function exercise(form, asked) {
  const verdict = form.querySelector(".verdict");
  let wrong = 0;
  form.addEventListener("submit", () => {
    const value = form.elements[`q${asked.number}`].value;
    if (value === "") return say(verdict, [tr("An answer, please.")]);
    const right = isRight(asked, asked.choices.length ? asked.choices[value] : value);
    wrong += right ? 0 : 1;
    form.dataset.right = right;
    if (right) say(verdict, [`${tr("Right.")} ${asked.why}`]);
    else if (wrong < 3) say(verdict, [tr("Not yet. Hint: {hint}", { hint: asked.hint })]);
    else say(verdict, [tr("The answer: {answer}", { answer: asked.shown }), asked.why]);
  });
}

for (const form of document.querySelectorAll("form.question")) {
  form.addEventListener("submit", (event) => event.preventDefault());
  const asked = about(form);
  (asked.kind === "predict" ? predict : exercise)(form, asked);
}

for (const figure of document.querySelectorAll(".explore")) {
  const { pictures, steps, modules } = about(figure);
  const [picture, slider, menu] = ["img", "input", "select"].map((name) => figure.querySelector(name));
  figure.addEventListener("input", () => {
    const [module, place] = [Number(menu?.value ?? 0), Number(slider?.value ?? steps.length - 1)];
    picture.src = pictures[module][place];
    const shown = { matrix: modules[module], step: steps[place] };
    picture.alt = modules.length
      ? tr("The picture of {matrix} at step {step}", shown)
      : tr("The picture at step {step}", shown);
    slider?.setAttribute("aria-valuetext", tr("step {step}", shown));
    if (slider) figure.querySelector("output").value = steps[place];
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const one of heads) if (one.hasAttribute("aria-sort")) one.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => text(a).localeCompare(text(b), undefined, { numeric: true }) * (down ? -1 : 1));
      table.tBodies[0].append(...rows);
    });
  });
}

/** What is wider than the screen can be scrolled by the keyboard, too. */
function reachable() {
  for (const box of document.querySelectorAll("pre, .wide, .output, .table-wrapper, div.picture"))
    if (box.scrollWidth > box.clientWidth + 1 && !box.hasAttribute("tabindex")) box.tabIndex = 0;
}
reachable();
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true);
document.documentElement.dataset.whole = "";
