// The panel that a node gets: an editor where it has a text, chips where it has fields, else what was said of it.
import { builderPanel } from "./builder.mjs";
import { notes } from "./messages.mjs";
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
 * @param {{input?: string, reader?: "xml" | "text", fields?: boolean}} kind its text widget, and how the server reads
 *   it; or that its widgets are a scene's fields
 * @returns {{ran: (lines: string[]) => void, refused: (lines: string[]) => void}}
 */
export function addPanel(host, node, kind) {
  style();
  if (kind.input) return promptPanel(host, node, kind);
  return kind.fields ? builderPanel(host, node) : notes(host, node);
}
