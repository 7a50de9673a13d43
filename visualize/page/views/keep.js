// What can be taken along? Pictures as PNG, tables as CSV, an adapter as its files.

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name.replace(/[^\w.-]+/g, "-");
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** @param {HTMLCanvasElement} canvas @param {string} name */
export function saveCanvas(canvas, name) {
  canvas.toBlob((blob) => blob && save(blob, name));
}

/** As RFC 4180 has it, with the mark by which a spreadsheet knows UTF-8; a cell that it would take for a formula is marked
 * as text, so numbers are given as numbers. @param {any[][]} rows @param {string} name */
export function saveTable(rows, name) {
  save(new Blob(["\ufeff", csvOf(rows)], { type: "text/csv" }), name);
}

/** @param {any[][]} rows @returns {string} */
export function csvOf(rows) {
  const cell = (/** @type {any} */ value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}
