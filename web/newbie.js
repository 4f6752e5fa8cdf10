// The only script that every page loads. The rest is fetched when the first of our prompt nodes appears.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

// Nodes with a text have an editor, those with fields show them as chips; all that say what they repaired, guessed or refused
// have a list of it.
const PANELS = {
  NewBieXMLPrompt: { input: "xml", reader: "xml" },
  NewBieTextToXML: { input: "text", reader: "text" },
  NewBieCharacter: { fields: true },
  NewBieScene: { fields: true },
};
const ours = (definition) => definition?.name?.startsWith("NewBie");
const speaks = (definition) => ours(definition) && definition.has_intermediate_output;
const NEW_SIZE = [440, 640]; // of a prompt node that the user adds
const SIZE = "NewBieSize";
const SCENE = "NEWBIE_SCENE";
const SCENE_COLOUR = "#f472b6";
const PALETTE = "Comfy.ColorPalette";
const LOCALE = "NewBie.Locale"; // for the server, where the page's language is the browser's own

const locale = () => app.extensionManager.setting.get("Comfy.Locale") ?? "en";
const panels = new WeakMap(); // node -> its panel, as a promise

async function newPanel(node, kind) {
  try {
    const { addPanel } = await import("./panel/panel.mjs");
    return addPanel({ app, api, locale }, node, kind);
  } catch (error) {
    console.error("NewBie: a node's panel could not be loaded; the node is as without it", error);
    return null;
  }
}

/** "12:3" is node 3 in the subgraph of node 12. */
function nodeAt(path) {
  let graph = app.rootGraph ?? app.graph;
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id);
    graph = node?.subgraph;
  }
  return panels.has(node) ? node : null;
}

/** @param {object} node @param {"ran" | "refused"} how @param {string[]} lines what was said; none: nothing is wrong */
async function tell(node, how, lines) {
  (await panels.get(node))?.[how](lines);
}

const told = (output) => (output?.text ?? []).flatMap((text) => text.split("\n"));

/** What validation said. The host names an input before the sentence, and says it for every input that was looked at. */
function tellRefusals(nodeErrors) {
  for (const [path, { errors }] of Object.entries(nodeErrors ?? {})) {
    const node = nodeAt(path);
    const refusals = errors.filter(({ type }) => type === "custom_validation_failed");
    const sentences = new Set(
      refusals.map(({ details, extra_info }) => details.replace(`${extra_info?.input_name} - `, "")),
    );
    if (node && sentences.size) tell(node, "refused", [...sentences]);
  }
}

function afterQueueing(action) {
  requestAnimationFrame(() => (app.processingQueue ? afterQueueing(action) : action()));
}

function colourScenes() {
  for (const colours of [app.canvas?.constructor.link_type_colors, app.canvas?.default_connection_color_byType])
    if (colours) colours[SCENE] = SCENE_COLOUR;
  document.documentElement.style.setProperty(`--color-datatype-${SCENE}`, SCENE_COLOUR);
}

/** NewBie Size comes first where a latent input is dragged to the empty canvas. */
function suggestSize() {
  const suggested = globalThis.LiteGraph?.slot_types_default_in?.LATENT;
  if (!suggested) return;
  const others = suggested.filter((type) => type !== SIZE);
  suggested.splice(0, suggested.length, SIZE, ...others);
}

app.registerExtension({
  name: "NewBieXML.Prompt",
  settings: [{ id: LOCALE, name: "NewBie language", type: "hidden", defaultValue: "" }],

  beforeRegisterNodeDef(nodeType, definition) {
    if (!speaks(definition)) return;
    const { onExecuted } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.call(this, output);
      tell(this, "ran", told(output));
    };
  },

  nodeCreated(node) {
    const definition = node.constructor.nodeData;
    if (!ours(definition)) return;
    colourScenes(); // the palette, loaded by now, knows the host's types alone
    if (!speaks(definition)) return;
    const kind = PANELS[node.comfyClass] ?? {};
    if (kind.input && !app.configuringGraph) {
      node.properties["newbie.layout"] = true; // a saved graph has its own
      node.setSize(NEW_SIZE);
    }
    panels.set(node, newPanel(node, kind));
  },

  setup() {
    suggestSize();
    app.ui.settings.addEventListener(`${PALETTE}.change`, () => setTimeout(colourScenes));
    const { setting } = app.extensionManager;
    if (setting.get(LOCALE) !== locale()) setting.set(LOCALE, locale());
    // A node without warnings sends nothing when it has run: what an earlier run said goes when the next one begins.
    api.addEventListener("executing", ({ detail }) => {
      const node = nodeAt(detail?.node ?? detail);
      if (node) tell(node, "ran", []);
    });
    api.addEventListener("execution_error", ({ detail }) => {
      const node = nodeAt(detail.node_id);
      if (node) tell(node, "refused", [detail.exception_message.trim()]);
    });
    api.addEventListener("promptQueueing", () => afterQueueing(() => tellRefusals(app.lastNodeErrors)));
  },

  // Outputs come back with the tab of their workflow; the panel, which is not saved, must as well.
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      const node = nodeAt(id);
      if (node) tell(node, "ran", told(output));
    }
  },
});
