// How does a notebook hold the page? In a frame of its own, so that neither's styles, keys or scripts meet the other's.
// Step, module and strength are the kernel's and the page's at once; what is new of a training is handed through.

const SHARED = ["step", "module", "strength"];

/** @param {{model: any, el: HTMLElement}} given */
function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = "A fine-tuning to touch";
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.style.cssText = "width: 100%; border: 0; display: block";
  let ready = false;
  let hearing = false;
  /** @type {any} what is new of a training, until the page is there to hear it */
  let waiting = {};

  const tell = (/** @type {any} */ glasstune) => ready && frame.contentWindow?.postMessage({ glasstune }, "*");
  const own = () =>
    Object.fromEntries(SHARED.map((name) => [name, model.get(name)]).filter(([, value]) => value !== ""));
  function open() {
    ready = false;
    waiting = {};
    const { buffer, byteOffset, byteLength } = model.get("html");
    frame.srcdoc = new TextDecoder().decode(new Uint8Array(buffer, byteOffset, byteLength));
  }
  function size() {
    frame.style.height = `${model.get("height")}px`;
  }
  /** @param {MessageEvent} event */
  function hear(event) {
    const said = event.data?.glasstune;
    if (event.source !== frame.contentWindow || !said) return;
    if (said.ready) {
      ready = true;
      tell({ ...waiting, set: { ...theme(), ...own() } });
    }
    if (said.state) {
      // What the page has said is not said back to it: by then it may be at another step.
      hearing = true;
      for (const name of SHARED) model.set(name, said.state[name]);
      hearing = false;
      model.save_changes();
    }
  }
  const set = () => hearing || tell({ set: own() });
  const pass = (/** @type {any} */ message) => {
    if (!ready) waiting = { ...waiting, ...message };
    tell(message);
  };
  addEventListener("message", hear);
  model.on("change:html", open);
  model.on("change:height", size);
  for (const name of SHARED) model.on(`change:${name}`, set);
  model.on("msg:custom", pass);
  size();
  open();
  el.append(frame);
  return () => {
    removeEventListener("message", hear);
    model.off("change:html", open);
    model.off("change:height", size);
    for (const name of SHARED) model.off(`change:${name}`, set);
    model.off("msg:custom", pass);
  };
}

/** As JupyterLab is, where it says so. */
function theme() {
  const light = document.body.dataset.jpThemeLight;
  return light ? { theme: light === "true" ? "light" : "dark" } : {};
}

export default { render };
