// The panel that a node gets: an editor where it has a text, chips where it has fields, else what was said of it, while
// there is something to say.
import { builderPanel } from "./builder.mjs";
import { also, dropPreviews } from "./graph.mjs";
import { promptPanel } from "./prompt.mjs";
import { addPanelWidget, entriesOf, messageList, newElement } from "./widget.mjs";
import { wordsOf } from "./words.mjs";

const ROW = 22; // pixels of a message
const MOST = 92;
const STYLE = new URL("./panel.css", import.meta.url).href;

function style() {
  if (document.querySelector(`link[href="${STYLE}"]`)) return;
  document.head.append(newElement("link", { rel: "stylesheet", href: STYLE }));
}

/**
 * @param {{app: object, api: object, locale: () => string}} host
 * @param {object} node
 * @param {{input?: string, reader?: "xml" | "text", fields?: boolean}} kind its text widget, and how the server reads
 *   it; or that its widgets are a scene's fields
 * @returns {{ran: (lines: string[]) => void, refused: (lines: string[]) => void}}
 */
export function addPanel(host, node, kind) {
  style();
  if (kind.input) return promptPanel(host, node, kind);
  return kind.fields ? builderPanel(host, node) : notes(host, node);
}

function notes(host, node) {
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
      const list = messageList(wordsOf(host.locale()), () => {});
      list.show(entries);
      const panel = newElement("div", { className: "newbie-panel" }, list.element);
      const across = Math.max(20, (node.size[0] - 40) / 6);
      const rows = entries.reduce((sum, { message }) => sum + Math.ceil(message.length / across), 0);
      height = Math.min(MOST, rows * ROW + 8);
      const tall = node.size[1];
      widget = addPanelWidget(host.app, node, "newbie_notes", panel, () => height, () => height);
      node.setSize([node.size[0], Math.max(tall + height, node.computeSize()[1])]);
    }
    node.graph?.setDirtyCanvas(true, true);
  };
  also(node, "onSerialize", (saved) => {
    if (widget) saved.size = [node.size[0], node.size[1] - height]; // the list is not saved, nor is its room
  });
  return {
    ran: (lines) => show(entriesOf(lines, "warning")),
    refused(lines) {
      show(entriesOf(lines, "problem"));
      dropPreviews(host.app, node);
    },
  };
}
