// A list of tags as chips over its own text: a chip shows words and weight, and the text as typed where the cursor is.
import {
  Decoration, EditorView, StateEffect, StateField, ViewPlugin, WidgetType, autocompletion, completionKeymap,
  defaultKeymap, historyKeymap, keymap, placeholder, setDiagnostics,
} from "./codemirror.mjs";
import { exchanged, STEP, tagsOf, withWeight, without } from "./tags.mjs";
import { marksOf, textView } from "./text_view.mjs";

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
    const badge = document.createElement("span");
    badge.className = "newbie-weight";
    badge.textContent = String(Math.round(this.weight * 100) / 100);
    return badge;
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
    const tools = document.createElement("span");
    tools.className = "newbie-tools";
    const add = (sign, word, run) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: sign, title: this.words(word), tabIndex: -1 });
      button.ariaLabel = button.title;
      button.onpointerdown = (event) => (event.preventDefault(), run(view)); // the cursor stays where it is
      tools.append(button);
    };
    add("▲", "heavier", weigh(STEP));
    add("▼", "lighter", weigh(-STEP));
    add("×", "removeTag", remove);
    return tools;
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
  const separator = Decoration.mark({ class: "newbie-separator" });
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
    let end = tags[0]?.from ?? 0;
    for (const tag of tags) {
      if (tag.from > end) ranges.push(separator.range(end, tag.from));
      end = tag.to;
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
    if (end < viewport.to) ranges.push(separator.range(end, viewport.to));
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
