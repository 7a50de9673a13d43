import { h } from "../dom.js";
/** @param {any} page */
export function makeOverviewRoom(page) { return h("div", {}, page.manifest.format); }
