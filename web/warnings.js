// Shows on a prompt's own node what the reader repaired or guessed, and why it refused a prompt.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const PROMPT_NODES = new Set([
  "NewBieXMLPrompt", "NewBieTextToXML", "NewBieCharacter", "NewBieScene", "NewBieSample", "NewBieGuider",
]);
const WIDGET = "newbie_messages";
const COLOURS = { warning: "#e8b339", error: "#ff6b6b" };
const LINE = 16; // all in pixels
const FRAME = 34; // around the lines
const LETTER = 7;
const MOST_LINES = 8; // the rest scrolls

const shown = new Map(); // node -> { kind, height }

const widgetOf = (node) => node.widgets?.find((widget) => widget.name === WIDGET);

function textArea() {
  const area = document.createElement("textarea");
  area.readOnly = true;
  area.className = "comfy-multiline-input";
  Object.assign(area.style, {
    width: "100%",
    height: "100%",
    resize: "none",
    fontSize: "11px",
    lineHeight: `${LINE}px`,
    borderLeft: "3px solid",
  });
  return area;
}

function addWidget(node) {
  const area = textArea();
  const height = () => shown.get(node)?.height ?? LINE;
  const widget = node.addDOMWidget(WIDGET, WIDGET, area, {
    serialize: false, // not in the prompt that is queued
    hideOnZoom: false,
    getValue: () => area.value,
    setValue: (value) => (area.value = value),
    getMinHeight: height,
    getMaxHeight: height,
  });
  widget.serialize = false; // nor in the workflow
  return widget;
}

function hide(node) {
  const widget = widgetOf(node);
  if (!widget) return;
  const height = shown.get(node)?.height ?? 0;
  shown.delete(node);
  node.removeWidget(widget);
  node.setSize([node.size[0], Math.max(node.size[1] - height, node.computeSize()[1])]);
  node.setDirtyCanvas(true, true);
}

function show(node, text, kind) {
  hide(node);
  const across = Math.max(20, Math.floor((node.size[0] - 40) / LETTER));
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / across)), 0);
  const height = Math.min(lines, MOST_LINES) * LINE + FRAME;
  const tall = node.size[1];
  shown.set(node, { kind, height });
  const widget = addWidget(node);
  widget.value = text;
  widget.element.style.color = COLOURS[kind];
  node.setSize([node.size[0], Math.max(tall + height, node.computeSize()[1])]);
  node.setDirtyCanvas(true, true);
}

function showOutput(node, output) {
  const text = (output?.text ?? []).join("\n");
  if (text) show(node, text, "warning");
  else hide(node);
}

// "12:3" is node 3 in the subgraph of node 12.
function promptNodeAt(path) {
  let graph = app.graph;
  let node = null;
  for (const id of String(path).split(":")) {
    node = graph?.getNodeById(id);
    graph = node?.subgraph;
  }
  return PROMPT_NODES.has(node?.type) ? node : null;
}

// What validation said. The host names the input before the sentence; there is but one.
function showRefusals(nodeErrors) {
  for (const [path, { errors }] of Object.entries(nodeErrors ?? {})) {
    const node = promptNodeAt(path);
    const refusals = errors.filter((error) => error.type === "custom_validation_failed");
    const sentences = refusals.map(({ details, extra_info }) => details.replace(`${extra_info?.input_name} - `, ""));
    if (node && sentences.length) show(node, sentences.join("\n"), "error");
  }
}

function afterQueueing(action) {
  requestAnimationFrame(() => (app.processingQueue ? afterQueueing(action) : action()));
}

app.registerExtension({
  name: "NewBie.Messages",

  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!PROMPT_NODES.has(nodeData.name)) return;
    const { onExecuted, onRemoved, onSerialize } = nodeType.prototype;
    nodeType.prototype.onExecuted = function (output) {
      onExecuted?.call(this, output);
      showOutput(this, output);
    };
    nodeType.prototype.onRemoved = function () {
      onRemoved?.call(this);
      shown.delete(this);
    };
    nodeType.prototype.onSerialize = function (saved) {
      onSerialize?.call(this, saved);
      if (shown.has(this)) saved.size = [this.size[0], this.size[1] - shown.get(this).height];
    };
  },

  setup() {
    // A node without warnings sends nothing when it has run: what an earlier run said goes when the next one begins.
    api.addEventListener("executing", ({ detail }) => {
      const node = promptNodeAt(detail?.node ?? detail);
      if (node) hide(node);
    });
    api.addEventListener("execution_error", ({ detail }) => {
      const node = promptNodeAt(detail.node_id);
      if (node) show(node, detail.exception_message.trim(), "error");
    });
    api.addEventListener("promptQueueing", () => {
      for (const [node, { kind }] of [...shown]) if (kind === "error") hide(node);
      afterQueueing(() => showRefusals(app.lastNodeErrors));
    });
  },

  // Outputs come back with the tab of their workflow; the widget, which is not saved, must as well.
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      const node = promptNodeAt(id);
      if (node) showOutput(node, output);
    }
  },
});
