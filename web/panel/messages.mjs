// What the reader repaired, guessed or refused, as a list: below a prompt, where a click jumps to the place, or on a
// node without a panel of its own, while there is something to say.
import { addPanelWidget, dropPreviews } from "./widget.mjs";
import { wordsOf } from "./words.mjs";

const ROW = 22; // pixels of a message
const MOST = 92;

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
  const element = document.createElement("ul");
  element.className = "newbie-messages";
  element.setAttribute("role", "status");
  element.hidden = true;

  const row = ({ kind, message, line, column, action }) => {
    const item = document.createElement("li");
    item.className = `newbie-${kind}`;
    item.title = words(kind);
    if (line) {
      const place = document.createElement("button");
      place.type = "button";
      place.className = "newbie-place";
      place.textContent = `${line}:${column}`;
      place.onclick = () => jump(line, column);
      item.append(place, " ");
    }
    item.append(message);
    if (action) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "newbie-action";
      button.textContent = action.label;
      button.onclick = action.run;
      item.append(" ", button);
    }
    return item;
  };

  const show = (entries) => {
    element.replaceChildren(...entries.map(row));
    element.hidden = entries.length === 0;
  };
  return { element, show };
}

export const entriesOf = (lines, kind) => lines.filter(Boolean).map((message) => ({ kind, message }));

export function notes(host, node) {
  let widget = null;
  let height = 0;

  const hide = () => {
    if (!widget) return;
    node.removeWidget(widget);
    widget = null;
    node.setSize([node.size[0], Math.max(node.size[1] - height, node.computeSize()[1])]);
  };
  const show = (entries) => {
    hide();
    if (entries.length) {
      const panel = document.createElement("div");
      panel.className = "newbie-panel";
      const list = messageList(wordsOf(host.locale()), () => {});
      list.show(entries);
      panel.append(list.element);
      const across = Math.max(20, (node.size[0] - 40) / 6);
      const rows = entries.reduce((sum, { message }) => sum + Math.ceil(message.length / across), 0);
      height = Math.min(MOST, rows * ROW + 8);
      const tall = node.size[1];
      widget = addPanelWidget(node, "newbie_notes", panel, () => height, () => height);
      node.setSize([node.size[0], Math.max(tall + height, node.computeSize()[1])]);
    }
    node.graph?.setDirtyCanvas(true, true);
  };
  const { onSerialize } = node;
  node.onSerialize = function (saved) {
    onSerialize?.call(this, saved);
    if (widget) saved.size = [this.size[0], this.size[1] - height]; // the list is not saved, nor is its room
  };
  return {
    ran: (lines) => show(entriesOf(lines, "warning")),
    refused(lines) {
      show(entriesOf(lines, "problem"));
      dropPreviews(host.app, node);
    },
  };
}
