// The prompt as CodeMirror shows it. Its text is a copy: the node's own text widget stays what is saved and queued.
import {
  Decoration, EditorView, HighlightStyle, StateEffect, StateField, WidgetType, autocompletion,
  bracketMatching, closeBrackets, closeBracketsKeymap, completionKeymap, defaultKeymap, foldGutter, foldKeymap,
  highlightActiveLine, historyKeymap, indentUnit, indentWithTab, keymap, lineNumbers,
  setDiagnostics, syntaxHighlighting, tags, xml,
} from "./codemirror.mjs";
import { marksOf, placeOf, textView } from "./text_view.mjs";
import { removal, voidPositions } from "./xml.mjs";

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
