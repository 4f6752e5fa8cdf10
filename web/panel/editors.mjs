// Texts as CodeMirror shows them, each beside the one that counts: a whole prompt, and a field's tags as chips.
import {
  Annotation, Decoration, EditorState, EditorView, HighlightStyle, StateEffect, StateField, ViewPlugin, WidgetType,
  autocompletion, bracketMatching, closeBrackets, closeBracketsKeymap, completionKeymap, defaultKeymap, drawSelection,
  foldGutter, foldKeymap, highlightActiveLine, history, historyKeymap, indentUnit, indentWithTab, keymap, lineNumbers,
  placeholder, setDiagnostics, syntaxHighlighting, tags, tooltips, xml,
} from "./codemirror.mjs";
import { exchanged, STEP, tagsOf, withWeight, without } from "./tags.mjs";
import { newButton, newElement } from "./widget.mjs";
import { removal, voidPositions } from "./xml.mjs";

/** As the view has it: it knows line feeds alone. */
export const unixed = (text) => text.replace(/\r\n?/gu, "\n");

const ELSEWHERE = Annotation.define(); // a change that whoever listens already has

/** The place of a message: the word or the tag that begins there. Lines and columns count from 1. */
function placeOf(doc, { line, column }) {
  if (!line) return { from: 0, to: Math.min(doc.length, doc.line(1).to) };
  const at = doc.line(Math.min(line, doc.lines));
  const from = Math.min(at.from + Math.max(column - 1, 0), at.to);
  const rest = doc.sliceString(from, at.to);
  const length = /^(?:<[^<>]*>?|[^\s<,，、;；]+)/u.exec(rest)?.[0].length ?? 1;
  return { from, to: Math.min(from + length, at.to) };
}

/**
 * What is underlined.
 * @param {import("./server.mjs").Told | null} problem @param {import("./server.mjs").Told[]} warnings
 */
function marksOf(doc, problem, warnings) {
  const told = [
    ...(problem ? [{ ...problem, severity: "error" }] : []),
    ...warnings.filter(({ line }) => line).map((warning) => ({ ...warning, severity: "warning" })),
  ];
  return told.map((one) => ({ ...placeOf(doc, one), severity: one.severity, message: one.message }));
}

/** Where all views' tooltips are: a panel would cut them off at its edges, and the canvas's zoom make them small. */
const tooltipsOfAll = () => document.querySelector("body > .newbie-tooltips")
  ?? document.body.appendChild(newElement("div", { className: "newbie-tooltips" }));

/**
 * @param {string} text
 * @param {(text: string) => void} changed by the user
 * @param {object[]} extensions CodeMirror's
 */
function textView(text, changed, extensions) {
  const listen = EditorView.updateListener.of((update) => {
    if (!update.docChanged || update.transactions.some((one) => one.annotation(ELSEWHERE))) return;
    changed(update.state.doc.toString());
  });
  const view = new EditorView({
    state: EditorState.create({
      doc: unixed(text),
      extensions: [
        history(), drawSelection(), EditorView.lineWrapping, listen, tooltips({ parent: tooltipsOfAll() }), ...extensions,
      ],
    }),
  });
  // The front-end takes Ctrl+Z for the graph unless what has the focus says that it is a text area.
  Object.defineProperty(view.contentDOM, "type", { value: "textarea" });

  const show = (typed) => {
    const now = unixed(typed);
    if (now === view.state.doc.toString()) return;
    const changes = { from: 0, to: view.state.doc.length, insert: now };
    view.dispatch({ changes, annotations: ELSEWHERE.of(true) });
  };
  /** One step for Ctrl+Z; whoever listens is told as of any typing. */
  const change = (changes) => view.dispatch({ changes, userEvent: "input" });
  const replace = (now) => change({ from: 0, to: view.state.doc.length, insert: now });
  return { view, show, change, replace, remove: () => view.destroy() };
}

// A whole prompt. The view's text is a copy: the node's own text widget stays what is saved and queued.

const setVoid = StateEffect.define();

const COLOURS = HighlightStyle.define([
  { tag: tags.tagName, color: "var(--newbie-tag)" },
  { tag: [tags.angleBracket, tags.attributeName], color: "var(--newbie-mark)" },
  { tag: tags.attributeValue, color: "var(--newbie-value)" },
  { tag: tags.comment, color: "var(--newbie-mark)", fontStyle: "italic" },
  { tag: tags.invalid, color: "inherit" }, // the reader's own verdict is underlined instead
]);

/** A cross behind a position that a box has made void. */
class RemoveButton extends WidgetType {
  constructor(title) {
    super();
    this.title = title;
  }
  eq(other) {
    return other.title === this.title;
  }
  toDOM(view) {
    const { title } = this;
    const button = newButton({ className: "newbie-remove", textContent: "×", title, ariaLabel: title });
    button.onclick = () => {
      const text = view.state.doc.toString();
      const at = view.posAtDOM(button);
      const span = voidPositions(text).find(({ to }) => to === at);
      if (span) view.dispatch({ changes: removal(text, span), userEvent: "delete" });
    };
    return button;
  }
  ignoreEvent() {
    return true;
  }
}

function struckThrough(title) {
  const cross = Decoration.widget({ widget: new RemoveButton(title), side: 1 });
  const struck = Decoration.mark({ class: "newbie-void" });
  return StateField.define({
    create: () => Decoration.none,
    update(marks, transaction) {
      let kept = transaction.docChanged ? marks.map(transaction.changes) : marks;
      for (const effect of transaction.effects)
        if (effect.is(setVoid))
          kept = Decoration.set(effect.value.flatMap(({ from, to }) => [struck.range(from, to), cross.range(to)]), true);
      return kept;
    },
    provide: (field) => EditorView.decorations.from(field),
  });
}

/**
 * @param {object} options
 * @param {string} options.text
 * @param {boolean} options.markup XML, and not plain words
 * @param {(word: string) => string} options.words
 * @param {(context: object) => object | null} options.complete CodeMirror's completion source
 * @param {(text: string) => void} options.changed by the user
 */
export function editor({ text, markup, words, complete, changed }) {
  const voided = struckThrough(words("removePosition"));
  const { view, show, change, replace, remove } = textView(text, changed, [
    lineNumbers(), foldGutter(), bracketMatching(), closeBrackets(), highlightActiveLine(), indentUnit.of("  "),
    syntaxHighlighting(COLOURS), voided, autocompletion({ override: [complete], icons: false }),
    markup ? xml({ autoCloseTags: true }) : [],
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...foldKeymap, ...defaultKeymap,
      indentWithTab]),
  ]);

  const diagnose = ({ problem, warnings }) => {
    const { doc } = view.state;
    const positions = markup ? voidPositions(doc.toString()) : [];
    view.dispatch(setDiagnostics(view.state, marksOf(doc, problem, warnings)), { effects: setVoid.of(positions) });
  };
  const jump = (line, column) => {
    const { from } = placeOf(view.state.doc, { line, column });
    view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    view.focus();
  };
  return { view, show, diagnose, jump, change, replace, remove };
}

// A list of tags as chips: a chip shows words and weight, and the text as typed where the cursor is.

const setFocus = StateEffect.define();
const SEPARATED = /(?:^|[,，、;；\n])\s*$/u;
const LONG = 32; // characters; a shorter chip isn't broken over lines
const [CHIP, HEAVY, LIGHT, OPEN] = ["", " newbie-heavy", " newbie-light", " newbie-open"].map((kind) =>
  ["", " newbie-whole"].map((whole) => Decoration.mark({ class: `newbie-chip${kind}${whole}` })));
const HIDDEN = Decoration.replace({});

class Weight extends WidgetType {
  constructor(weight) {
    super();
    this.weight = weight;
  }
  eq(other) {
    return other.weight === this.weight;
  }
  toDOM() {
    return newElement("span", { className: "newbie-weight", textContent: String(Math.round(this.weight * 100) / 100) });
  }
  ignoreEvent() {
    return false; // a click on it opens the chip
  }
}

/** Behind the chip with the cursor, for the mouse: what the keys do, too. */
class Tools extends WidgetType {
  constructor(words) {
    super();
    this.words = words;
  }
  eq() {
    return true;
  }
  toDOM(view) {
    const tool = (textContent, word, run) => {
      const title = this.words(word);
      const onpointerdown = (event) => (event.preventDefault(), run(view)); // the cursor stays where it is
      return newButton({ textContent, title, ariaLabel: title, tabIndex: -1, onpointerdown });
    };
    const tools = [["▲", "heavier", weigh(STEP)], ["▼", "lighter", weigh(-STEP)], ["×", "removeTag", remove]];
    return newElement("span", { className: "newbie-tools" }, ...tools.map((one) => tool(...one)));
  }
  ignoreEvent() {
    return true;
  }
}

const read = StateField.define({
  create: (state) => ({ tags: tagsOf(state.doc.toString()), focused: false }),
  update({ tags, focused }, transaction) {
    for (const effect of transaction.effects) if (effect.is(setFocus)) focused = effect.value;
    return { tags: transaction.docChanged ? tagsOf(transaction.newDoc.toString()) : tags, focused };
  },
});

/** The chips that the selection touches. */
function chosen(state) {
  const { from, to } = state.selection.main;
  return state.field(read).tags.filter((tag) => tag.from <= to && from <= tag.to);
}

const weigh = (step) => (view) => {
  const text = view.state.doc.toString();
  const changes = chosen(view.state).map((tag) => withWeight(text, tag, tag.weight + step)).filter(Boolean);
  if (!changes.length) return false;
  view.dispatch({ changes, userEvent: "input" });
  return true;
};

function remove(view) {
  const [tag] = chosen(view.state);
  if (tag) view.dispatch({ changes: without(view.state.doc.toString(), tag), userEvent: "delete" });
  return Boolean(tag);
}

const shift = (step) => (view) => {
  const { tags } = view.state.field(read);
  const [tag] = chosen(view.state);
  const other = tags[tags.indexOf(tag) + step];
  if (!tag || !other) return false;
  const [a, b] = step > 0 ? [tag, other] : [other, tag];
  const into = view.state.selection.main.head - tag.from;
  const start = step > 0 ? b.to - (tag.to - tag.from) : a.from;
  view.dispatch({
    changes: exchanged(view.state.doc.toString(), a, b), selection: { anchor: start + into }, userEvent: "move",
  });
  return true;
};

/** Enter ends a tag; Shift+Enter breaks the line. */
function endTag(view) {
  const { head } = view.state.selection.main;
  if (SEPARATED.test(view.state.sliceDoc(0, head))) return true;
  view.dispatch(view.state.replaceSelection(", "), { scrollIntoView: true, userEvent: "input" });
  return true;
}

function breakLine({ state, dispatch }) {
  dispatch(state.replaceSelection("\n"));
  return true;
}

function chips(words) {
  const tools = Decoration.widget({ widget: new Tools(words), side: 1 });
  return ViewPlugin.fromClass(class {
    constructor(view) {
      this.decorations = drawn(view);
    }
    update({ view, transactions, docChanged, selectionSet, viewportChanged }) {
      const focused = transactions.some(({ effects }) => effects.some((effect) => effect.is(setFocus)));
      if (docChanged || selectionSet || viewportChanged || focused) this.decorations = drawn(view);
    }
  }, { decorations: (plugin) => plugin.decorations });

  function drawn({ state, viewport }) {
    const { focused } = state.field(read);
    const tags = state.field(read).tags.filter(({ from, to }) => from <= viewport.to && viewport.from <= to);
    const { head, empty } = state.selection.main;
    const ranges = [];
    for (const tag of tags) {
      const whole = tag.to - tag.from < LONG ? 1 : 0;
      if (focused && empty && tag.from <= head && head <= tag.to) {
        ranges.push(OPEN[whole].range(tag.from, tag.to), tools.range(tag.to));
        continue;
      }
      ranges.push((tag.weight > 1 ? HEAVY : tag.weight < 1 ? LIGHT : CHIP)[whole].range(tag.from, tag.to));
      if (tag.words.from > tag.from) ranges.push(HIDDEN.range(tag.from, tag.words.from));
      if (tag.words.to < tag.to)
        ranges.push(Decoration.replace({ widget: new Weight(tag.weight) }).range(tag.words.to, tag.to));
    }
    return Decoration.set(ranges, true);
  }
}

/**
 * @param {object} options
 * @param {string} options.text
 * @param {string} options.label for those who don't see it
 * @param {string} options.hint shown while it is empty
 * @param {boolean} options.list of tags; else a sentence, as it is
 * @param {(word: string) => string} options.words
 * @param {(context: object) => object | null} options.complete CodeMirror's completion source
 * @param {(text: string) => void} options.changed by the user
 */
export function chipField({ text, label, hint, list, words, complete, changed }) {
  const { view, show, change, remove: end } = textView(text, changed, [
    EditorView.contentAttributes.of({ "aria-label": label }),
    placeholder(hint),
    list ? [
      read, chips(words), autocompletion({ override: [complete], icons: false }),
      EditorView.editorAttributes.of({ class: "newbie-list" }), // what is no chip in it separates: no elements of its own
      EditorView.focusChangeEffect.of((_, focused) => setFocus.of(focused)),
      keymap.of([
        ...completionKeymap,
        { key: "Mod-ArrowUp", run: weigh(STEP) }, { key: "Mod-ArrowDown", run: weigh(-STEP) },
        { key: "Alt-ArrowLeft", run: shift(-1) }, { key: "Alt-ArrowRight", run: shift(1) },
        { key: "Enter", run: endTag }, { key: "Shift-Enter", run: breakLine },
      ]),
    ] : [],
    keymap.of([...historyKeymap, ...defaultKeymap]),
  ]);
  let underlined = false;
  const diagnose = (told) => {
    if (told.length || underlined) view.dispatch(setDiagnostics(view.state, marksOf(view.state.doc, null, told)));
    underlined = told.length > 0;
  };
  return { view, show, change, diagnose, remove: end };
}
