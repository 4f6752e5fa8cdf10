// The prompt as CodeMirror shows it. Its text is a copy: the node's own text widget stays what is saved and queued.
import {
  Annotation, Compartment, Decoration, EditorState, EditorView, HighlightStyle, StateEffect, StateField, WidgetType,
  autocompletion, bracketMatching, closeBrackets, closeBracketsKeymap, completionKeymap, defaultKeymap, drawSelection,
  foldGutter, foldKeymap, highlightActiveLine, history, historyKeymap, indentUnit, indentWithTab, keymap, lineNumbers,
  setDiagnostics, syntaxHighlighting, tags, xml,
} from "./codemirror.mjs";
import { removal, voidPositions } from "./xml.mjs";

const FROM_WIDGET = Annotation.define(); // a change that the widget already has
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
    const button = document.createElement("button");
    button.type = "button";
    button.className = "newbie-remove";
    button.textContent = "×";
    button.title = button.ariaLabel = this.title;
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
 * @param {object} options
 * @param {string} options.text
 * @param {boolean} options.markup XML, and not plain words
 * @param {(word: string) => string} options.words
 * @param {(context: object) => object | null} options.complete CodeMirror's completion source
 * @param {(text: string) => void} options.changed by the user
 */
export function editor({ text, markup, words, complete, changed }) {
  const language = new Compartment();
  const voided = struckThrough(words("removePosition"));
  const listen = EditorView.updateListener.of((update) => {
    if (!update.docChanged) return;
    if (update.transactions.some((one) => one.annotation(FROM_WIDGET))) return;
    changed(update.state.doc.toString());
  });
  const view = new EditorView({
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(), foldGutter(), history(), drawSelection(), bracketMatching(), closeBrackets(),
        highlightActiveLine(), indentUnit.of("  "), EditorView.lineWrapping, syntaxHighlighting(COLOURS), voided, listen,
        autocompletion({ override: [complete], icons: false }),
        language.of(markup ? xml({ autoCloseTags: true }) : []),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...foldKeymap, ...defaultKeymap,
          indentWithTab]),
      ],
    }),
  });
  // The front-end takes Ctrl+Z for the graph unless what has the focus says that it is a text area.
  Object.defineProperty(view.contentDOM, "type", { value: "textarea" });

  const show = (now) => {
    if (now === view.state.doc.toString()) return;
    view.dispatch({
      changes: { from: 0, to: view.state.doc.length, insert: now },
      annotations: FROM_WIDGET.of(true),
    });
  };
  const diagnose = ({ problem, warnings }) => {
    const { doc } = view.state;
    const told = [...(problem ? [{ ...problem, severity: "error" }] : []),
      ...warnings.filter(({ line }) => line).map((warning) => ({ ...warning, severity: "warning" }))];
    const found = told.map((one) => ({ ...placeOf(doc, one), severity: one.severity, message: one.message }));
    const positions = markup ? voidPositions(doc.toString()) : [];
    view.dispatch(setDiagnostics(view.state, found), { effects: setVoid.of(positions) });
  };
  const jump = (line, column) => {
    const { from } = placeOf(view.state.doc, { line, column });
    view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    view.focus();
  };
  /** One step for Ctrl+Z; the widget is told as of any typing. */
  const change = (changes) => view.dispatch({ changes, userEvent: "input" });
  const replace = (now) => change({ from: 0, to: view.state.doc.length, insert: now });
  return { view, show, diagnose, jump, change, replace, remove: () => view.destroy() };
}
