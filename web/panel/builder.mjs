// The fields of NewBie Character and NewBie Scene as chips, what is wrong with them, and where the character stands.
// The node's own widgets stay what is saved and queued.
import { fieldList } from "./fields.mjs";
import { also, aspectOf, dropPreviews, lastPicture, listen, remember, sourceOf, valueOf, watch } from "./graph.mjs";
import { layout as newLayout } from "./layout.mjs";
import { checker, knowledge } from "./server.mjs";
import {
  addPanelWidget, entriesOf, heightFollower, LAYOUT, LAYOUT_HEIGHT, messageList, newBar, newElement, PLAIN, setHidden,
} from "./widget.mjs";
import { wordsOf } from "./words.mjs";

const CHARACTER = "NewBieCharacter";
const PREVIOUS = { [CHARACTER]: "previous", NewBieScene: "characters" };
const FIRST = { [CHARACTER]: ["name", "gender", "appearance"], NewBieScene: ["background"] }; // shown while empty, too
const SENTENCES = ["name", "caption", "system_prompt"];
const UNSTATED = "unstated";
const MOST = 64; // characters in a row, so that a loop ends
const FOUR_NUMBERS = /^\s*[\d.]+(\s*[,，]\s*[\d.]+){3}\s*$/u;

const fieldsOf = (node) => node.widgets.filter(({ type, name }) => !name.startsWith("newbie_") && type !== "button");
const inputOf = (node, name) => node.inputs?.find(({ widget }) => widget?.name === name);

/** The characters before this node and itself, the first one first. */
function chain(node) {
  const found = [];
  for (let now = node; PREVIOUS[now?.type] && found.length < MOST; ) {
    found.unshift(now);
    now = sourceOf(now, now.inputs?.find(({ name }) => name === PREVIOUS[now.type]));
  }
  return found;
}

function said(node) {
  const textOf = (value) => (value === UNSTATED ? "" : String(value ?? ""));
  return Object.fromEntries(fieldsOf(node).map(({ name }) => [name, textOf(valueOf(node, name))]));
}

function question(node) {
  const nodes = chain(node);
  return {
    people: nodes.filter(({ type }) => type === CHARACTER).map(said),
    ...(node.type !== CHARACTER && { surroundings: said(node) }),
  };
}

export function builderPanel(host, node) {
  const words = wordsOf(host.locale());
  const widgets = fieldsOf(node);
  const named = (name) => widgets.find((widget) => widget.name === name);
  const placed = node.type === CHARACTER;
  const opened = new Set(); // fields that are empty and shown all the same
  let told = { problem: null, warnings: [], characters: [] };
  let ran = [];
  let complete = null;

  const set = (name, value) => {
    const widget = named(name);
    widget.value = value;
    widget.callback?.(value);
  };
  const fields = fieldList({
    words,
    hintOf: (name) => words.example(name),
    complete: (context, name) => complete?.(context, name) ?? null,
    changed: set,
    removed: (name) => {
      opened.delete(name);
      set(name, "");
      remember(host.app);
    },
    added: (name) => {
      opened.add(name);
      show();
      fields.focus(name);
    },
  });
  const board = newLayout({
    words,
    place: (_, box) => {
      set("position", box ? box.join(", ") : "");
      remember(host.app);
    },
  });
  const messages = messageList(words, () => {});
  const check = checker(
    host.api,
    () => ({ ...question(node), aspect: aspectOf(node), language: host.locale() }),
    (verdict) => {
      told = verdict.characters.length || verdict.problem ? verdict : { ...verdict, characters: told.characters };
      ran = [];
      show();
    },
  );
  const bar = newBar(words, host.app, node, show);
  if (placed) bar.toggle("layout", LAYOUT);
  bar.toggle("plain", PLAIN);

  const parts = [bar.element, fields.element, board.element, messages.element];
  const panel = newElement("div", { className: "newbie-panel newbie-growing" }, ...parts);
  const follow = heightFollower(node, [bar.element, fields.element, messages.element], () =>
    placed && node.properties[LAYOUT] ? LAYOUT_HEIGHT : 0);
  addPanelWidget(host.app, node, "newbie_panel", panel, follow.least);

  const rowOf = (widget) => ({
    key: widget.name, name: widget.name, label: widget.label ?? widget.name, text: String(widget.value ?? ""),
    sentence: SENTENCES.includes(widget.name),
    fixed: inputOf(node, widget.name)?.link == null ? undefined : words("linked"),
    choices: widget.type === "combo"
      ? widget.options.values.map((value) => [value, widget.options.getOptionLabel?.(value) ?? value]) : undefined,
  });

  function entries() {
    const where = (one) => {
      const label = one.field ? (named(one.field)?.label ?? one.field) : null;
      return { ...one, line: 0, message: label ? `${label}: ${one.message}` : one.message };
    };
    return ran.length ? ran : [
      ...(told.problem ? [{ ...where(told.problem), kind: "problem" }] : []),
      ...told.warnings.map((warning) => ({ ...where(warning), kind: "warning" })),
    ];
  }

  function show() {
    const plain = Boolean(node.properties[PLAIN]);
    for (const widget of widgets) setHidden(node, widget, !plain);
    const rows = widgets.map(rowOf);
    const isShown = ({ name, text, fixed, choices }) =>
      fixed || (text.trim() && !(choices && text === UNSTATED)) || opened.has(name) || FIRST[node.type].includes(name);
    fields.element.hidden = plain;
    fields.show(rows.filter(isShown), rows.filter((row) => !isShown(row)));
    fields.diagnose(({ name }) =>
      [...(told.problem ? [told.problem] : []), ...told.warnings].filter(({ field }) => field === name)
        .map((one) => ({ ...one, line: Math.max(one.line, 1), column: Math.max(one.column, 1) })));
    bar.show();
    messages.show(entries());
    const layoutShown = placed && Boolean(node.properties[LAYOUT]);
    board.element.hidden = !layoutShown;
    follow.look();
    node.graph?.setDirtyCanvas(true, true);
    if (!layoutShown || told.problem) return;
    const last = told.characters.length - 1;
    const people = told.characters.map((one, i) => ({
      ...one, ghost: i !== last, stated: i === last && FOUR_NUMBERS.test(named("position").value),
    }));
    const masked = node.inputs.some(({ name, link }) => name === "mask" && link != null);
    board.show(people, aspectOf(node), lastPicture(host, node), masked ? words("masked") : "");
  }

  const showAndCheck = (now) => {
    show();
    check(now);
  };
  for (const widget of widgets) also(widget, "callback", () => showAndCheck(false));
  for (const change of ["onConnectionsChange", "onConfigure"]) also(node, change, () => showAndCheck(true));
  also(node, "onRemoved", () => {
    fields.remove();
    follow.stop();
  });
  fields.element.addEventListener("focusout", () => remember(host.app));
  knowledge(host.api).then((source) => (complete = source));
  if (placed) listen(host.api, node, "execution_success", show); // for the picture under the layout
  watch(host.api, node, check.ifOther); // for its shape, and for the people before this one

  show();
  check(true);
  const linked = () => node.inputs.some(({ name, link }) => link != null && name !== PREVIOUS[node.type]);
  return {
    ran(lines) {
      ran = linked() ? entriesOf(lines, "warning") : []; // what is typed has been told
      show();
    },
    refused(lines) {
      ran = entriesOf(lines, "problem");
      show();
      dropPreviews(host.app, node);
    },
  };
}
