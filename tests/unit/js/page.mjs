// A page without a browser: only what the dashboard's modules need.

class FakeElement {
  #text = "";
  /** All texts that were set, in order. */
  texts = [];
  attributes = {};
  children = [];
  dataset = {};
  listeners = {};
  get textContent() { return this.#text; }
  set textContent(text) { this.#text = text; this.texts.push(text); }
  addEventListener(type, listener) { this.listeners[type] = listener; }
  append(child) { this.children.push(child); child.remove = () => this.children.splice(this.children.indexOf(child)); }
  setAttribute(name, value) { this.attributes[name] = value; }
  getBoundingClientRect() { return { left: 100, width: 10 * this.#text.length + 0.2 }; }
}

/** Records what is drawn. */
class FakePath {
  steps = [];
  moveTo(...at) { this.steps.push(["move", ...at].join(" ")); }
  lineTo(...at) { this.steps.push(["line", ...at].join(" ")); }
  rect(...at) { this.steps.push(["rect", ...at].join(" ")); }
}

/** A chart whose pixel x is the second x. */
export class FakeDygraph {
  static made = [];
  static dateTicker(...[from, to, pixels, options]) { return options.ticks.filter(({ v }) => v >= from && v <= to && pixels); }
  updates = [];
  constructor(...[element, file, options]) { FakeDygraph.made.push(Object.assign(this, { element, file, options })); }
  updateOptions(options) { this.updates.push(options); }
  destroy() { this.isDestroyed = true; }
  toDataXCoord(x) { return x * 1000; }
  clearSelection() { this.selection = null; }
  setSelection(row) { this.selection = row; }
}

/** Makes the globals that a browser has. Returns {element: by id, fontSize, listeners: of window and colour scheme}. */
export function openPage(Dygraph) {
  const elements = {};
  const page = { fontSize: "15px", listeners: {}, element: (id) => elements[id] ??= new FakeElement() };
  FakeDygraph.made = [];
  globalThis.Dygraph = Dygraph;
  globalThis.Path2D = FakePath;
  globalThis.document = { getElementById: page.element, createElement: () => new FakeElement() };
  globalThis.getComputedStyle = () => ({ fontSize: page.fontSize, getPropertyValue: (name) => ` ${name} ` });
  globalThis.addEventListener = (type, listener) => { page.listeners[type] = listener; };
  globalThis.matchMedia = (query) => ({ addEventListener: (type, listener) => { page.listeners[query + type] = listener; } });
  return page;
}

/** Sets the browser's clocks: functions that return seconds. */
export function setClocks(steady, timeOfDay) {
  Date.now = () => timeOfDay() * 1000;
  Object.defineProperty(performance, "now", { value: () => steady() * 1000, configurable: true }); // read-only in Node.js 18
}
