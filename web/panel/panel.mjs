// The panel that a prompt node gets: with an editor where the node has a text, else what was said of its fields.
import { characterPanel } from "./character.mjs";
import { notes } from "./notes.mjs";
import { promptPanel } from "./prompt.mjs";

const STYLE = new URL("./panel.css", import.meta.url).href;

function style() {
  if (document.querySelector(`link[href="${STYLE}"]`)) return;
  const link = document.createElement("link");
  Object.assign(link, { rel: "stylesheet", href: STYLE });
  document.head.append(link);
}

/**
 * @param {{app: object, api: object, locale: () => string}} host
 * @param {object} node
 * @param {{input?: string, reader?: "xml" | "text", position?: string}} kind its text widget, and how the server reads
 *   it; or the widget that says where a character stands
 * @returns {{ran: (lines: string[]) => void, refused: (lines: string[]) => void}}
 */
export function addPanel(host, node, kind) {
  style();
  if (kind.input) return promptPanel(host, node, kind);
  const said = notes(host, node);
  if (kind.position) characterPanel(host, node);
  return said;
}
