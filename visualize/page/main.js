// What happens when the page opens? With a document it is the page; without one it is one of the page's workers.

import { open } from "./app.js";
import { PageSource } from "./source.js";
import { serve } from "./worker.js";

if (typeof document === "undefined") serve(self);
else open(/** @type {HTMLElement} */ (document.getElementById("glasstune")), new PageSource());
