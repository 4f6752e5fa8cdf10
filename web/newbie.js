// The only script that every page loads. The rest is fetched when the first of our prompt nodes appears.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

// Nodes with a text have an editor, those with fields show them as chips; all that say what they repaired, guessed or
// refused have a list of it.
const PANELS = {
  NewBieXMLPrompt: { input: "xml", reader: "xml" },
  NewBieTextToXML: { input: "text", reader: "text" },
  NewBieCharacter: { fields: true },
  NewBieScene: { fields: true },
};
const ours = (definition) => definition?.name?.startsWith("NewBie");
const speaks = (definition) => ours(definition) && definition.has_intermediate_output;
const NEW_SIZE = [440, 640]; // of a prompt node that the user adds
const NEW_WIDTH = 225; // at least, of any other: the classic canvas sizes a node by its sockets, and cuts its title
const LIFE = 15_000; // milliseconds of a toast
const BADGES = { ran: "#7a5a00", refused: "#a02020" }; // their colours
const SIZE = "NewBieSize";
// Options in Chinese: the host looks up the names of inputs alone.
const OPTIONS = {
  unstated: "未指定", girl: "女", boy: "男", other: "其他", auto: "自动", strict: "严格", gentle: "温和", off: "关闭",
  "as the mode": "随模式", closed: "隔离", open: "放开", boxes: "方框", "boxes and gaps": "方框和间隙",
  silhouettes: "轮廓", none: "无", default: "默认", custom: "自定义", "NewBie mini (built in)": "NewBie mini（内置）",
};
const SCENE = "NEWBIE_SCENE";
const SCENE_COLOUR = "#f472b6";
const PALETTE = "Comfy.ColorPalette";
const LOCALE = "NewBie.Locale"; // for the server, where the page's language is the browser's own

const locale = () => app.extensionManager.setting.get("Comfy.Locale") ?? "en";
const panels = new WeakMap(); // node -> its panel, as a promise
const toasted = new WeakMap(); // node in a subgraph -> what was last said of it
const outside = new WeakMap(); // node of a subgraph -> path of a node within -> what was said of it

async function newPanel(node, kind) {
  try {
    const { addPanel } = await import("./panel/panel.mjs");
    return addPanel({ app, api, locale }, node, kind);
  } catch (error) {
    console.error("NewBie: a node's panel could not be loaded; the node is as without it", error);
    return null;
  }
}

/** At "12:3": node 3 in the subgraph of node 12, if it is ours, and node 12. */
function nodesAt(path) {
  const found = [];
  for (const id of String(path).split(":")) {
    const graph = found.length ? found.at(-1)?.subgraph : (app.rootGraph ?? app.graph);
    found.push(graph?.getNodeById(id));
  }
  const node = found.pop();
  return panels.has(node) ? { node, around: found.filter(Boolean) } : { node: null, around: [] };
}

/** @param {string} path of a node @param {"ran" | "refused"} how @param {string[]} lines said; none: nothing is wrong */
async function tell(path, how, lines) {
  const { node, around } = nodesAt(path);
  if (!node) return;
  (await panels.get(node))?.[how](lines);
  for (const outer of around) tellOutside(outer, path, how, lines.map((line) => `${node.title}: ${line}`));
  const [known, now] = [toasted.get(node), around.length ? lines.join("\n") : ""];
  toasted.set(node, now);
  if (now && now !== known) toast(node, how, lines); // with the subgraph closed, Nodes 2.0 would show nothing
}

function toast({ title }, how, lines) {
  const severity = how === "refused" ? "error" : "warn";
  app.extensionManager.toast.add({ severity, summary: title, detail: lines.join("\n"), life: LIFE });
}

/** On the node of a subgraph, what was said of all our nodes in it: the host lets such a node have badges, no widgets. */
function tellOutside(outer, path, how, lines) {
  const said = outside.get(outer) ?? new Map();
  outside.set(outer, said.set(path, { how, lines }));
  const badges = [...said.values()].flatMap((one) => one.lines.map((text) => Object.assign(
    new globalThis.LGraphBadge({ text, fgColor: "#fff", bgColor: BADGES[one.how] }), { ofNewBie: true },
  )));
  const oldValue = outer.badges;
  outer.badges = [...oldValue.filter(({ ofNewBie }) => !ofNewBie), ...badges];
  const type = "node:property:changed";
  outer.graph?.trigger(type, { type, nodeId: outer.id, property: "badges", oldValue, newValue: outer.badges });
  outer.graph?.setDirtyCanvas(true, true);
}

const told = (output) => (output?.text ?? []).flatMap((text) => text.split("\n"));

/** What validation said. The host names an input before the sentence, and says it for every input that was looked at. */
function tellRefusals(nodeErrors) {
  for (const [path, { errors }] of Object.entries(nodeErrors ?? {})) {
    const { node, around } = nodesAt(path);
    const refusals = errors.filter(({ type }) => type === "custom_validation_failed");
    const sentences = new Set(
      refusals.map(({ details, extra_info }) => details.replace(`${extra_info?.input_name} - `, "")),
    );
    if (!node || !sentences.size) continue;
    tell(path, "refused", [...sentences]);
    if (!around.length) toast(node, "refused", [...sentences]); // the host's own says only which input it was
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

function labelOptions(node) {
  for (const { type, options } of node.widgets ?? [])
    if (type === "combo") options.getOptionLabel ??= (value) => OPTIONS[value] ?? String(value ?? "");
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

  nodeCreated(node) {
    const definition = node.constructor.nodeData;
    if (!ours(definition)) return;
    colourScenes(); // the palette, loaded by now, knows the host's types alone
    if (locale().startsWith("zh")) labelOptions(node);
    if (!app.configuringGraph) node.setSize([Math.max(node.size[0], NEW_WIDTH), node.size[1]]);
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
    api.addEventListener("executing", ({ detail }) => tell(detail?.node ?? detail, "ran", []));
    api.addEventListener("executed", ({ detail }) => tell(detail.node, "ran", told(detail.output)));
    api.addEventListener("execution_error", ({ detail }) =>
      tell(detail.node_id, "refused", [detail.exception_message.trim()]));
    api.addEventListener("promptQueueing", () => afterQueueing(() => tellRefusals(app.lastNodeErrors)));
  },

  // Outputs come back with the tab of their workflow; the panel, which is not saved, must as well.
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) tell(id, "ran", told(output));
  },
});
