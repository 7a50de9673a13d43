// What is a matrix called? Its layer, and its kind within the layer: as short as can be told apart, as visualize/naming.py
// has it. "q" in a Llama; in GPT-2, which has two of them in a layer, "attn c proj" and "mlp c proj".

const NUMBERED = /^(.*?)\.(\d+)\.(.+)$/;

/** part: "q". short: "layer 1 · q". @typedef {{part: (name: string) => string, short: (name: string) => string}} Names */

/** The number of the layer of a module: 2 of "model.layers.2.mlp.up_proj". @param {string} name @returns {number | null} */
export function layerOf(name) {
  const found = NUMBERED.exec(name);
  return found ? Number(found[2]) : null;
}

/** @param {string[]} modules all that are to be told apart @returns {Names} */
export function namesOf(modules) {
  const inside = modules.map((name) => NUMBERED.exec(name)).filter((found) => found !== null);
  // Of an encoder beside a decoder each has a layer 0: then it is said whose.
  const stacks = toldApart([...new Set(inside.map((found) => found[1]))]);
  const kinds = shortest([...new Set(inside.map((found) => found[3]))]);
  const outside = shortest(modules.filter((name) => layerOf(name) === null));
  const part = (/** @type {string} */ name) => {
    const found = NUMBERED.exec(name);
    const kind = found ? kinds.get(found[3]) : outside.get(name);
    return [found && stacks.get(found[1]), kind ?? spoken(name.split(".").slice(-1))].filter(Boolean).join(" ");
  };
  return {
    part,
    short: (name) => (layerOf(name) === null ? part(name) : `layer ${layerOf(name)} · ${part(name)}`),
  };
}

/** @param {string[]} words @returns {string} */
const spoken = (words) => {
  const text = words.length === 1 ? words[0].replace(/^(q|k|v|o|gate|up|down)_proj$/, "$1") : words.join(" ");
  return text.replace(/_/g, " ");
};

/** As few of the last words of each as no other ends with; never begun by a bare number.
 * @param {string[]} names @returns {Map<string, string>} */
function shortest(names) {
  /** @type {Map<string, number>} how many names end so */
  const ends = new Map();
  const endsOf = (/** @type {string} */ name) => {
    const words = name.split(".");
    return words.map((_, at) => words.slice(words.length - 1 - at));
  };
  for (const name of names) for (const end of endsOf(name)) ends.set(end.join("."), (ends.get(end.join(".")) ?? 0) + 1);
  return new Map(
    names.map((name) => {
      const all = endsOf(name);
      const found = all.find((end) => ends.get(end.join(".")) === 1 && !/^\d+$/.test(end[0]));
      return [name, spoken(found ?? all[all.length - 1])];
    }),
  );
}

/** The first word in which each differs from the others; "" where there is only one. @param {string[]} stacks
 * @returns {Map<string, string>} */
function toldApart(stacks) {
  const words = stacks.map((stack) => stack.split("."));
  const differ = words[0]?.findIndex((word, place) => words.some((other) => other[place] !== word)) ?? 0;
  const at = differ < 0 ? words[0].length : differ;
  return new Map(stacks.map((stack, one) => [stack, stacks.length > 1 ? (words[one][at] ?? stack) : ""]));
}
