// Fields below one another: the label beside each, its tags as chips, and a button for every field that is not there.
import { chipField } from "./chips.mjs";

/**
 * @typedef {object} Row
 * @property {string} key of its own, and the same while it is the same field
 * @property {string} name of the element or input
 * @property {string} label
 * @property {string} text
 * @property {[string, string][]} [choices] value and label, where it is one of a few
 * @property {boolean} [sentence] no list of tags
 * @property {string} [fixed] shown instead: why it can't be edited here
 */

/**
 * @param {object} options
 * @param {(word: string) => string} options.words
 * @param {(context: object, name: string) => object | null} options.complete
 * @param {(name: string) => string} options.hintOf what an empty field shows
 * @param {(key: string, text: string) => void} options.changed
 * @param {(key: string) => void} options.removed
 * @param {(name: string) => void} options.added
 */
export function fieldList({ words, complete, hintOf, changed, removed, added }) {
  const element = document.createElement("div");
  element.className = "newbie-fields";
  const foot = document.createElement("div");
  foot.className = "newbie-add";
  element.append(foot);
  const shown = new Map(); // key -> {row, line, field}

  function choice(row) {
    const select = document.createElement("select");
    select.ariaLabel = row.label;
    for (const [value, label] of row.choices) select.append(new Option(label, value));
    select.value = row.text;
    select.onchange = () => changed(row.key, select.value);
    return { dom: select, show: (now) => (select.value = now), diagnose() {}, remove() {} };
  }

  function typed(row) {
    const field = chipField({
      text: row.text, label: row.label, hint: hintOf(row.name), list: !row.sentence, words,
      complete: (context) => complete(context, row.name), changed: (text) => changed(row.key, text),
    });
    const dom = document.createElement("div"); // CodeMirror writes the classes of its own element anew
    dom.append(field.view.dom);
    return { ...field, dom };
  }

  function lineOf(row) {
    const line = document.createElement("div");
    line.className = "newbie-field";
    const label = document.createElement("span");
    label.className = "newbie-field-label";
    const field = row.fixed ? { dom: document.createElement("span"), show() {}, diagnose() {}, remove() {} }
      : row.choices ? choice(row) : typed(row);
    if (row.fixed) field.dom.textContent = row.fixed;
    field.dom.classList.add("newbie-content");
    label.textContent = label.title = row.label;
    label.onclick = () => (field.view ?? field.dom).focus();
    const cross = document.createElement("button");
    Object.assign(cross, { type: "button", className: "newbie-drop", textContent: "×", title: words("removeField") });
    cross.ariaLabel = `${words("removeField")}: ${row.label}`;
    cross.hidden = Boolean(row.fixed || row.choices);
    cross.onclick = () => removed(row.key);
    line.append(label, field.dom, cross);
    return { row, line, field };
  }

  /** @param {Row[]} rows @param {{name: string, label: string}[]} absent */
  const show = (rows, absent) => {
    const kept = new Set(rows.map(({ key }) => key));
    for (const [key, { line, field }] of shown)
      if (!kept.has(key)) {
        field.remove();
        line.remove();
        shown.delete(key);
      }
    rows.forEach((row, i) => {
      let old = shown.get(row.key);
      if (old && (old.row.name !== row.name || old.row.fixed !== row.fixed)) {
        old.field.remove();
        old.line.remove();
        old = null;
      }
      const now = old ?? lineOf(row);
      shown.set(row.key, now);
      now.row = row;
      now.field.show(row.text);
      if (element.children[i] !== now.line) element.insertBefore(now.line, element.children[i] ?? foot);
    });
    foot.replaceChildren(...absent.map(({ name, label }) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: `+ ${label}`, title: words("addField") });
      button.onclick = () => added(name);
      return button;
    }));
    foot.hidden = !absent.length;
  };

  return {
    element,
    show,
    /** @param {(row: Row) => import("./check.mjs").Told[]} toldOf lines and columns count within the field */
    diagnose: (toldOf) => shown.forEach(({ row, field }) => field.diagnose(toldOf(row))),
    focus: (key, place = 0) => {
      const view = shown.get(key)?.field.view;
      view?.focus();
      view?.dispatch({ selection: { anchor: Math.min(place, view.state.doc.length) } });
    },
    remove: () => shown.forEach(({ field }) => field.remove()),
  };
}
