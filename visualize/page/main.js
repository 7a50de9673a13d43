// What happens when the page opens? With a document it is the page; without one it is one of the page's workers.

import { open } from "./app.js";
import { openDoor } from "./door.js";
import { PageSource } from "./source.js";
import { serve } from "./worker.js";

if (typeof document === "undefined") serve(self);
else {
  const source = new PageSource();
  open(/** @type {HTMLElement} */ (document.getElementById("glasstune")), source).then(openDoor);
}
