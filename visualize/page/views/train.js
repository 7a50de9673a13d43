import { h } from "../dom.js";
/** @param {any} page */
export function makeTrainRoom(page) {
  return h("div", {}, page.manifest.format);
}
