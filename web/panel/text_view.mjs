// A text as CodeMirror shows it, beside the one that counts: what both kinds of editor share.
import { Annotation, EditorState, EditorView, drawSelection, history } from "./codemirror.mjs";

/** As the view has it: it knows line feeds alone. */
export const unixed = (text) => text.replace(/\r\n?/gu, "\n");

const ELSEWHERE = Annotation.define(); // a change that whoever listens already has

/** The place of a message: the word or the tag that begins there. Lines and columns count from 1. */
export function placeOf(doc, { line, column }) {
  if (!line) return { from: 0, to: Math.min(doc.length, doc.line(1).to) };
  const at = doc.line(Math.min(line, doc.lines));
  const from = Math.min(at.from + Math.max(column - 1, 0), at.to);
  const rest = doc.sliceString(from, at.to);
  const length = /^(?:<[^<>]*>?|[^\s<,，、;；]+)/u.exec(rest)?.[0].length ?? 1;
  return { from, to: Math.min(from + length, at.to) };
}

/**
 * What is underlined.
 * @param {import("./check.mjs").Told | null} problem @param {import("./check.mjs").Told[]} warnings
 */
export function marksOf(doc, problem, warnings) {
  const told = [
    ...(problem ? [{ ...problem, severity: "error" }] : []),
    ...warnings.filter(({ line }) => line).map((warning) => ({ ...warning, severity: "warning" })),
  ];
  return told.map((one) => ({ ...placeOf(doc, one), severity: one.severity, message: one.message }));
}

/**
 * @param {string} text
 * @param {(text: string) => void} changed by the user
 * @param {object[]} extensions CodeMirror's
 */
export function textView(text, changed, extensions) {
  const listen = EditorView.updateListener.of((update) => {
    if (!update.docChanged || update.transactions.some((one) => one.annotation(ELSEWHERE))) return;
    changed(update.state.doc.toString());
  });
  const view = new EditorView({
    state: EditorState.create({
      doc: unixed(text),
      extensions: [history(), drawSelection(), EditorView.lineWrapping, listen, ...extensions],
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
