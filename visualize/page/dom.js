// How is the page built without markup from data? Elements by name; text is always a text node, never HTML.

/**
 * An element with properties, listeners (keys that begin with "on") and children.
 * @param {string} tag
 * @param {Record<string, any>} [about] attributes; "class"; "on..." listeners; true and false switch an attribute
 * @param {...any} children nodes, text, or arrays of them; null and false are left out
 * @returns {any} an HTMLElement
 */
export function h(tag, about = {}, ...children) {
  const made = document.createElement(tag);
  return furnish(made, about, children);
}

/** The same for SVG. @param {string} tag @param {Record<string, any>} [about] @param {...any} children @returns {any} */
export function svg(tag, about = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), about, children);
}

/** @param {any} made @param {Record<string, any>} about @param {any[]} children */
function furnish(made, about, children) {
  for (const [name, value] of Object.entries(about)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  return fill(made, ...children);
}

/** Put these children in the place of those there are. What has the focus keeps it, if one with the same data-focus stands
 * there now. @param {any} parent @param {...any} children @returns {any} */
export function fill(parent, ...children) {
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  const focused = active && active !== parent && parent.contains(active) ? active.dataset?.focus : undefined;
  const flat = children.flat(4).filter((child) => child !== null && child !== undefined && child !== false);
  parent.replaceChildren(
    ...flat.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))),
  );
  if (focused !== undefined)
    [...parent.querySelectorAll("[data-focus]")]
      .find((one) => one.dataset.focus === focused)
      ?.focus({ preventScroll: true });
  return parent;
}

/** A number as a person writes it: three digits, a true minus. @param {number|null|undefined} value @param {number} [digits] */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−").replace("e+", "e");
}

/** A share as it is written: 0 % and 100 % only where it is none and all. @param {number | null | undefined} share */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const rounded = Math.round(100 * share);
  if (share > 0 && rounded === 0) return "< 1 %";
  if (share < 1 && rounded === 100) return "> 99 %";
  return `${rounded} %`;
}

/** A table with a caption: what a picture shows, for those who do not see it, and for spreadsheets.
 * @param {string} caption @param {string[]} heads @param {any[][]} rows @returns {any} */
export function table(caption, heads, rows) {
  return h(
    "div",
    { class: "tablebox", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((head) => h("th", { scope: "col" }, head)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((cell, at) => h(at ? "td" : "th", at ? {} : { scope: "row" }, cell)),
          ),
        ),
      ),
    ),
  );
}

/** A group of buttons of which one is pressed; those that are not offered now are not seen.
 * @param {string} label @param {[any, string][]} choices @param {(value: any) => void} chosen
 * @returns {{element: any, show: (value: any, offered?: (value: any) => boolean) => void}} */
export function choice(label, choices, chosen) {
  const buttons = choices.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": "false", onclick: () => chosen(value) }, text),
  );
  const element = h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
  return {
    element,
    show: (value, offered = () => true) =>
      choices.forEach(([one], at) => {
        buttons[at].setAttribute("aria-pressed", String(one === value));
        buttons[at].hidden = !offered(one);
      }),
  };
}
