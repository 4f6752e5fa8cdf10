// The panel of a prompt node: editor, layout and messages in one DOM widget beside the text widget, which stays the truth.
import { editor as newEditor, unixed } from "./editors.mjs";
import { peopleView } from "./fields.mjs";
import { also, aspectOf, dropPreviews, lastPicture, listen, remember, watch } from "./graph.mjs";
import { layout as newLayout } from "./layout.mjs";
import { checker, knowledge } from "./server.mjs";
import {
  addPanelWidget, entriesOf, LAYOUT, LAYOUT_HEIGHT, messageList, newBar, newElement, PEOPLE, PLAIN, setHidden,
} from "./widget.mjs";
import { wordsOf } from "./words.mjs";
import { characters, formatted, withBox, withoutBox } from "./xml.mjs";

const EDITOR_HEIGHT = 150; // pixels, all of them

export function promptPanel(host, node, { input, reader }) {
  const words = wordsOf(host.locale());
  const truth = node.widgets.find(({ name }) => name === input);
  const markup = reader === "xml";
  const text = () => unixed(String(truth.value ?? ""));
  const linked = () => node.inputs?.find(({ widget }) => widget?.name === input)?.link != null;

  let complete = null;
  let told = { problem: null, warnings: [], hint: null, xml: null, characters: [] };
  let ran = []; // what the last run said, of a linked prompt that the panel can't read

  const editor = newEditor({
    text: text(),
    markup,
    words,
    complete: (context) => {
      if (!complete) knowledge(host.api).then((source) => (complete = source));
      return complete?.(context) ?? null;
    },
    changed: (now) => {
      truth.value = now;
      check();
      if (peopleShown()) people.show();
    },
  });
  const people = peopleView({
    words,
    complete: (context, name) => complete?.(context, name) ?? null,
    text,
    change: (change, step) => {
      editor.change(change);
      if (step) remember(host.app);
    },
    chosen: (index) => board.choose(index),
  });
  const peopleShown = () => markup && !linked() && Boolean(node.properties[PEOPLE]);
  const messages = messageList(words, (line, column) => (peopleShown() ? people : editor).jump(line, column));
  const board = newLayout({
    words,
    picked: people.choose,
    place: (index, box) => {
      const character = characters(text())[index];
      const change = character && (box ? withBox(text(), character, box) : withoutBox(text(), character));
      check(true);
      if (!change) return; // the person has gone meanwhile
      editor.change(change);
      remember(host.app);
    },
  });
  const check = checker(
    host.api,
    () => ({ text: text(), reader, aspect: aspectOf(node), language: host.locale() }),
    (verdict) => {
      told = verdict;
      editor.diagnose(verdict);
      show();
    },
  );

  const bar = newBar(words, host.app, node, show);
  if (markup) {
    const format = bar.button("format", () => {
      const now = formatted(text());
      if (now === null) format.title = words("unformatted");
      else if (now !== text()) editor.replace(now);
    });
  }
  bar.toggle("layout", LAYOUT);
  if (markup) bar.toggle("people", PEOPLE, [PLAIN]);
  bar.toggle("plain", PLAIN, [PEOPLE]);

  const place = newElement("div", { className: "newbie-editor" }, editor.view.dom);
  const parts = [bar.element, place, people.element, board.element, messages.element];
  const panel = newElement("div", { className: "newbie-panel" }, ...parts);

  addPanelWidget(host.app, node, "newbie_panel", panel, () =>
    linked() || node.properties[PLAIN] ? 60 : EDITOR_HEIGHT + (node.properties[LAYOUT] ? LAYOUT_HEIGHT : 0));

  function entries() {
    if (linked()) return ran;
    const { problem, warnings, hint, xml } = told;
    const convert = xml && { label: words("convert"), run: () => (editor.replace(told.xml), remember(host.app)) };
    return [
      ...(problem ? [{ ...problem, kind: "problem" }] : []),
      ...warnings.map((warning) => ({ ...warning, kind: "warning" })),
      ...(hint ? [{ kind: "warning", message: hint, action: convert }] : []),
    ];
  }

  function show() {
    const isLinked = linked();
    const plain = isLinked || Boolean(node.properties[PLAIN]);
    const layoutShown = !isLinked && Boolean(node.properties[LAYOUT]);
    setHidden(node, truth, !plain);
    place.hidden = plain || peopleShown();
    people.element.hidden = !peopleShown();
    if (peopleShown()) people.show(told);
    bar.element.hidden = isLinked;
    board.element.hidden = !layoutShown;
    bar.show();
    messages.show(entries());
    node.graph?.setDirtyCanvas(true, true); // else the page arranges the widgets only when the mouse moves
    if (!layoutShown) return;
    const blocks = markup ? characters(text()) : [];
    const editable = blocks.length === told.characters.length;
    if (told.problem) return; // the boxes of the last prompt that could be read stay
    board.show(told.characters, aspectOf(node), lastPicture(host, node), editable ? "" : words("locked"));
  }

  also(truth, "callback", () => {
    editor.show(text());
    if (peopleShown()) people.show();
    check();
  });
  for (const part of [place, people.element]) {
    part.addEventListener("focusout", () => remember(host.app));
    part.addEventListener("focusin", () => complete ?? knowledge(host.api).then((source) => (complete = source)));
  }
  also(node, "onConnectionsChange", () => {
    check(true);
    show();
  });
  also(node, "onRemoved", () => {
    editor.remove();
    people.remove();
  });

  listen(host.api, node, "execution_success", show); // for the picture under the layout
  watch(host.api, node, check.ifOther); // for its shape
  show();
  check(true);
  return {
    ran(lines) {
      ran = entriesOf(lines, "warning");
      show();
    },
    refused(lines) {
      ran = entriesOf(lines, "problem");
      show();
      dropPreviews(host.app, node);
    },
  };
}
