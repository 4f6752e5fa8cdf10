// What a node's panel is made of: a widget of a type of its own, whose element the front-end leaves be, the buttons over
// it, its height, and the list of what the reader repaired, guessed or refused.
import { also, remember } from "./graph.mjs";

export const LAYOUT = "newbie.layout";
export const PLAIN = "newbie.plain"; // the host's own widgets instead
export const PEOPLE = "newbie.people"; // a tab for each person instead of the text
export const LAYOUT_HEIGHT = 240; // pixels

const TYPE = "NEWBIE_PANEL";
const STAYING = ["copy", "cut", "paste", "keydown", "keyup", "keypress", "wheel", "pointerdown", "contextmenu", "dblclick"];
const QUEUE = "Enter"; // with Ctrl, from anywhere
const [MIDDLE, MIDDLE_HELD] = [1, 4]; // a pointer event's button, and its buttons
const [GAP, MARGINS, ROUNDED] = [4, 20, 2]; // pixels: between a panel's parts, around it, and off by rounding

/** @param {string} tag @param {object} [properties] @param {...(Node | string)} children @returns {HTMLElement} */
export function newElement(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export const newButton = (properties) => newElement("button", { type: "button", ...properties });

const filled = new WeakMap(); // element -> what its children show

/** Other children, where they would show something else: a button that is pressed must be there when it is let go. */
export function refill(element, shown, children) {
  const now = JSON.stringify(shown);
  if (filled.get(element) === now) return;
  filled.set(element, now);
  element.replaceChildren(...children());
}

const scrolls = (element) =>
  element.scrollHeight > element.clientHeight + 1 && /auto|scroll/u.test(getComputedStyle(element).overflowY);

/** As over the host's own text boxes, the wheel zooms where nothing scrolls, and the middle button moves the canvas. */
function letCanvasMove(app, element) {
  const held = ({ button, buttons, type }) => (type === "pointermove" ? buttons === MIDDLE_HELD : button === MIDDLE);
  const moves = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" };
  const classic = () => !globalThis.LiteGraph?.vueNodesMode; // Nodes 2.0 sees to both by itself
  for (const [type, move] of Object.entries(moves))
    element.addEventListener(type, (event) => classic() && held(event) && app.canvas[move](event));
  element.addEventListener("wheel", (event) => {
    let at = event.target;
    while (at !== element && !scrolls(at)) at = at.parentElement;
    if (!classic() || (scrolls(at) && !event.ctrlKey)) return;
    event.preventDefault();
    app.canvas.processMouseWheel(event);
  }, { passive: false });
}

/**
 * @param {object} app the host's
 * @param {object} node
 * @param {string} name
 * @param {HTMLElement} element
 * @param {() => number} least its height, in pixels
 * @param {() => number} [most] where it doesn't grow with the node
 * @returns {object} the widget, which is saved neither with the workflow nor with the prompt
 */
export function addPanelWidget(app, node, name, element, least, most) {
  letCanvasMove(app, element);
  element.dataset.captureWheel = "true"; // Nodes 2.0: once something in it has the focus
  for (const type of STAYING)
    element.addEventListener(type, (event) => {
      const queues = event.key === QUEUE && (event.ctrlKey || event.metaKey);
      if (!queues) event.stopPropagation(); // else Ctrl+V pastes a node, and the wheel zooms the canvas
    });
  const widget = node.addDOMWidget(name, TYPE, element, {
    serialize: false,
    hideOnZoom: false,
    hideInPanel: true,
    getMinHeight: least,
    ...(most && { getMaxHeight: most }),
  });
  widget.serialize = false;
  return widget;
}

/**
 * The buttons over a panel, and the properties of the node that they switch: what its panel shows, and no more.
 * @param {(word: string) => string} words @param {object} app @param {object} node @param {() => void} show
 */
export function newBar(words, app, node, show) {
  const element = newElement("div", { className: "newbie-bar" });
  const button = (word, run) => {
    const made = newButton({ textContent: words(word), title: words(`${word}Hint`), onclick: run });
    element.append(made);
    return made;
  };
  /** Of `others` none stays on with it. */
  const toggle = (word, property, others = []) => {
    const made = button(word, () => {
      node.properties[property] = !node.properties[property];
      for (const other of others) if (node.properties[other]) node.properties[other] = false;
      const grown = property === LAYOUT ? (node.properties[LAYOUT] ? LAYOUT_HEIGHT : -LAYOUT_HEIGHT) : 0;
      show();
      if (grown) node.setSize([node.size[0], Math.max(node.size[1] + grown, node.computeSize()[1])]);
      remember(app);
    });
    toggles.push(() => (made.ariaPressed = String(Boolean(node.properties[property]))));
    return made;
  };
  const toggles = [];
  return { element, button, toggle, show: () => toggles.forEach((one) => one()) };
}

/** Nodes 2.0 reads a widget's options again only when the list of widgets has changed. */
export function setHidden(node, widget, hidden) {
  if (widget.hidden === hidden) return;
  widget.hidden = widget.options.hidden = hidden;
  node.widgets.push(node.widgets.pop());
}

/**
 * Lets a node grow and shrink with what its panel holds. A node that is only as high as it must be is saved as high as
 * without a panel, and any other without its messages, so that what it holds changes nothing else in the graph, and that
 * messages, which are told anew, don't make it higher each time it is opened.
 * @param {object} node
 * @param {HTMLElement[]} parts of the panel, which keep the height of their content; the last are its messages
 * @param {() => number} more pixels for what takes the height that it is given
 */
export function heightFollower(node, parts, more) {
  const bare = node.computeSize()[1];
  let need = 0;
  const heightOf = ({ offsetHeight }) => offsetHeight && offsetHeight + GAP;
  const look = () => {
    const heights = parts.map(heightOf).filter(Boolean);
    const now = heights.reduce((sum, height) => sum + height, MARGINS);
    if (!heights.length || now === need) return; // not on the screen
    const grown = need ? now - need : heightOf(parts.at(-1)); // told before it was first seen
    const unsized = !need && node.size[1] <= bare + ROUNDED;
    need = now;
    const least = node.computeSize()[1];
    node.setSize([node.size[0], unsized ? least : Math.max(node.size[1] + grown, least)]);
    node.graph?.setDirtyCanvas(true, true);
  };
  const observer = new ResizeObserver(look);
  parts.forEach((part) => observer.observe(part));
  also(node, "onSerialize", (saved) => {
    const [width, height] = node.size;
    const unsized = height <= node.computeSize()[1] + ROUNDED;
    saved.size = [width, unsized ? bare : height - heightOf(parts.at(-1))];
  });
  return { least: () => need + more(), look, stop: () => observer.disconnect() };
}

/**
 * @typedef {{kind: "problem" | "warning", message: string, line?: number, column?: number,
 *   action?: {label: string, run: () => void}}} Entry
 */

/**
 * @param {(word: string) => string} words
 * @param {(line: number, column: number) => void} jump
 * @returns {{element: HTMLElement, show: (entries: Entry[]) => void}}
 */
export function messageList(words, jump) {
  const element = newElement("ul", { className: "newbie-messages", role: "status", hidden: true });

  const row = ({ kind, message, line, column, action }) => {
    const item = newElement("li", { className: `newbie-${kind}`, title: words(kind) });
    const goThere = () => jump(line, column);
    if (line)
      item.append(newButton({ className: "newbie-place", textContent: `${line}:${column}`, onclick: goThere }), " ");
    item.append(message);
    if (action)
      item.append(" ", newButton({ className: "newbie-action", textContent: action.label, onclick: action.run }));
    return item;
  };

  const show = (entries) => {
    refill(element, entries, () => entries.map(row));
    element.hidden = entries.length === 0;
  };
  return { element, show };
}

export const entriesOf = (lines, kind) => lines.filter(Boolean).map((message) => ({ kind, message }));
