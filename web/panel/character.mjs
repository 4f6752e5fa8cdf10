// Where a character stands that is built by a node: its own box to drag, those of the characters before it as ghosts.
import { aspectOf, lastPicture } from "./aspect.mjs";
import { checker } from "./check.mjs";
import { layout as newLayout } from "./layout.mjs";
import { addPanelWidget, remember } from "./widget.mjs";
import { wordsOf } from "./words.mjs";

const TYPE = "NewBieCharacter";
const LAYOUT = "newbie.layout"; // property of the node: whether the boxes are shown
const BAR_HEIGHT = 44; // pixels, with the widget's margins
const LAYOUT_HEIGHT = 220;
const MOST = 64; // characters in a row, so that a loop ends
const FIELDS = { name: "n", gender: "gender", appearance: "appearance", action: "action", position: "position" };
const FOUR_NUMBERS = /^\s*[\d.]+(\s*[,，]\s*[\d.]+){3}\s*$/u;

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** This character and those before it, the first one first. */
function chain(node) {
  const found = [];
  for (let now = node; now?.type === TYPE && found.length < MOST; ) {
    found.unshift(now);
    const link = now.inputs?.find(({ name }) => name === "previous")?.link;
    now = link == null ? null : now.graph?.getNodeById(now.graph.getLink(link)?.origin_id);
  }
  return found;
}

/** What the server needs for the layout of the characters, as XML. */
const xmlOf = (nodes) =>
  nodes.map((node, i) => {
    const fields = Object.entries(FIELDS).map(([name, element]) => {
      const value = String(widgetOf(node, name)?.value ?? "");
      return value.trim() && value !== "unstated" ? `<${element}>${escaped(value)}</${element}>` : "";
    });
    return `<character_${i + 1}>${fields.join("")}</character_${i + 1}>`;
  }).join("\n");

export function characterPanel(host, node) {
  const words = wordsOf(host.locale());
  const position = widgetOf(node, "position");
  let people = [];

  const board = newLayout({
    words,
    place: (index, box) => {
      position.value = box ? box.join(", ") : "";
      position.callback?.(position.value);
      remember(host.app);
    },
  });
  const check = checker(
    host.api,
    () => ({ text: xmlOf(chain(node)), aspect: aspectOf(node), language: host.locale() }),
    ({ problem, characters }) => {
      if (problem) return; // the boxes of the last fields that could be read stay
      const last = characters.length - 1;
      people = characters.map((character, i) => ({
        ...character,
        ghost: i !== last,
        stated: i === last && FOUR_NUMBERS.test(position.value),
      }));
      show();
    },
  );

  const button = document.createElement("button");
  button.type = "button";
  button.textContent = words("layout");
  button.title = words("layoutHint");
  button.onclick = () => {
    node.properties[LAYOUT] = !node.properties[LAYOUT];
    const grown = node.properties[LAYOUT] ? LAYOUT_HEIGHT : -LAYOUT_HEIGHT;
    check(true);
    show();
    node.setSize([node.size[0], Math.max(node.size[1] + grown, node.computeSize()[1])]);
    remember(host.app);
  };
  const bar = document.createElement("div");
  bar.className = "newbie-bar";
  bar.append(button);
  const panel = document.createElement("div");
  panel.className = "newbie-panel";
  panel.append(bar, board.element);
  const height = () => BAR_HEIGHT + (node.properties[LAYOUT] ? LAYOUT_HEIGHT : 0);
  addPanelWidget(node, "newbie_panel", panel, height, () => (node.properties[LAYOUT] ? Infinity : BAR_HEIGHT));

  function show() {
    const shown = Boolean(node.properties[LAYOUT]);
    board.element.hidden = !shown;
    button.ariaPressed = String(shown);
    if (shown) board.show(people, aspectOf(node), lastPicture(node), false);
    node.graph?.setDirtyCanvas(true, true);
  }

  for (const name of Object.keys(FIELDS)) {
    const widget = widgetOf(node, name);
    const { callback } = widget;
    widget.callback = function (...said) {
      callback?.apply(this, said);
      if (node.properties[LAYOUT]) check();
    };
  }
  const { onConnectionsChange } = node;
  node.onConnectionsChange = function (...change) {
    onConnectionsChange?.apply(this, change);
    if (node.properties[LAYOUT]) check(true);
  };
  show();
  if (node.properties[LAYOUT]) check(true);
}
