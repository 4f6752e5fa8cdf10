// Fields below one another: the label beside each, its tags as chips, and a button for every field that is not there.
// And a prompt's XML as such fields: one tab for each person and one for the picture.
import { chipField } from "./editors.mjs";
import { COLOURS } from "./layout.mjs";
import { newButton, newElement, refill } from "./widget.mjs";
import {
  fieldName, PERSON_FIELDS, PICTURE_FIELDS, placeIn, removal, scene, voidPositions, withField, withoutField, withPerson,
  withWords,
} from "./xml.mjs";

/**
 * @typedef {object} Row
 * @property {string} key of its own, and the same while it is the same field
 * @property {string} name of the element or input
 * @property {string} label
 * @property {string} text
 * @property {[string, string][]} [choices] value and label, where it is one of a few
 * @property {boolean} [sentence] no list of tags
 * @property {boolean} [trimmed] its text is without the space around it, which may be typed before more is
 * @property {string} [fixed] shown instead: why it can't be edited here
 * @property {string} [idle] why it does nothing; it is struck through
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
  const foot = newElement("div", { className: "newbie-add" });
  const element = newElement("div", { className: "newbie-fields" }, foot);
  const shown = new Map(); // key -> {row, line, field}

  function choice(row) {
    const options = row.choices.map(([value, label]) => new Option(label, value));
    const select = newElement("select", { ariaLabel: row.label }, ...options);
    select.value = row.text;
    select.onchange = () => changed(row.key, select.value);
    return { dom: select, show: (now) => (select.value = now), diagnose() {}, remove() {} };
  }

  function typed(row) {
    const field = chipField({
      text: row.text, label: row.label, hint: hintOf(row.name), list: !row.sentence, words,
      complete: (context) => complete(context, row.name), changed: (text) => changed(row.key, text),
    });
    return { ...field, dom: newElement("div", {}, field.view.dom) }; // CodeMirror writes the classes of its own anew
  }

  function lineOf(row) {
    const fixed = () => newElement("span", { textContent: row.fixed });
    const field = row.fixed ? { dom: fixed(), show() {}, diagnose() {}, remove() {} }
      : row.choices ? choice(row) : typed(row);
    field.dom.classList.add("newbie-content");
    const label = newElement("span", { className: "newbie-field-label", textContent: row.label, title: row.label });
    label.onclick = () => (field.view ?? field.dom).focus();
    const title = words("removeField");
    const cross = newButton({
      className: "newbie-drop", textContent: "×", title, ariaLabel: `${title}: ${row.label}`,
      hidden: Boolean(row.fixed || row.choices), onclick: () => removed(row.key),
    });
    return { row, line: newElement("div", { className: "newbie-field" }, label, field.dom, cross), field, cross };
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
      const typed = row.trimmed && now.field.view?.state.doc.toString().trim();
      if (typed !== row.text) now.field.show(row.text);
      now.field.dom.classList.toggle("newbie-void", Boolean(row.idle));
      now.cross.title = row.idle ?? words("removeField");
      if (element.children[i] !== now.line) element.insertBefore(now.line, element.children[i] ?? foot);
    });
    refill(foot, absent, () => absent.map(({ name, label }) =>
      newButton({ textContent: `+ ${label}`, title: words("addField"), onclick: () => added(name) })));
    foot.hidden = !absent.length;
  };

  return {
    element,
    show,
    /** @param {(row: Row) => import("./server.mjs").Told[]} toldOf lines and columns count within the field */
    diagnose: (toldOf) => shown.forEach(({ row, field }) => field.diagnose(toldOf(row))),
    focus: (key, place = 0) => {
      const view = shown.get(key)?.field.view;
      view?.focus();
      view?.dispatch({ selection: { anchor: Math.min(place, view.state.doc.length) } });
    },
    remove: () => shown.forEach(({ field }) => field.remove()),
  };
}

const SENTENCES = ["name", "caption", "bbox", "spacing"];
const PICTURE = -1;

/**
 * @param {object} options
 * @param {(word: string) => string} options.words
 * @param {(context: object, name: string) => object | null} options.complete
 * @param {() => string} options.text the prompt's
 * @param {(change: import("./xml.mjs").Change, step?: boolean) => void} options.change step: one for the graph's undo
 * @param {(index: number) => void} options.chosen a person's tab
 */
export function peopleView({ words, complete, text, change, chosen }) {
  const tabs = newElement("div", { className: "newbie-tabs", role: "tablist" });
  let at = 0;
  let told = { problem: null, warnings: [], characters: [] };

  const now = () => {
    const read = scene(text());
    const person = at === PICTURE ? null : read.people[at];
    return { read, person, fields: person ? person.fields : read.picture };
  };
  const fieldAt = (key) => now().fields[Number(key.split(":")[1])];
  const list = fieldList({
    words,
    complete,
    hintOf: (name) => words.example(fieldName(name)),
    changed: (key, typed) => {
      const field = fieldAt(key);
      if (typed.trim() !== field.words) change(withWords(text(), field, typed.trim()));
    },
    removed: (key) => change(withoutField(text(), fieldAt(key)), true),
    added: (name) => {
      change(withField(text(), now().person?.element ?? null, name), true);
      const place = now().fields.findLastIndex((field) => fieldName(field.name) === name);
      list.focus(`${at}:${place}`);
    },
  });
  const element = newElement("div", { className: "newbie-people" }, tabs, list.element);

  function tab(label, index, colour) {
    const onclick = () => {
      choose(index);
      if (index !== PICTURE) chosen(index);
    };
    const made = newButton({ role: "tab", textContent: label, ariaSelected: String(at === index), onclick });
    if (colour) made.style.setProperty("--newbie-person", colour);
    return made;
  }

  function choose(index) {
    if (at === index) return;
    at = index;
    show();
  }

  const offsetOf = (lines, { line, column }) =>
    lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, column - 1);
  const holds = ({ from, to }, place) => from <= place && place < Math.max(to, from + 1);

  /** What was told of a place within a field, from its place in the prompt. */
  function within(field) {
    const lines = text().split("\n");
    return [...(told.problem ? [told.problem] : []), ...told.warnings].flatMap((one) => {
      const place = one.line ? offsetOf(lines, one) : -1;
      if (!holds(field, place)) return [];
      const before = field.words.slice(0, placeIn(field, place)).split("\n");
      return [{ ...one, line: before.length, column: before.at(-1).length + 1 }];
    });
  }

  function show(verdict = told) {
    told = verdict;
    const count = scene(text()).people.length;
    if (at >= count) at = count - 1; // with nobody left: the picture
    const { read, person, fields } = now();
    const locked = /^\s*[{[]/u.test(text()) ? words("locked") : read.whole ? undefined : words("unformatted");
    const add = () => {
      change(withPerson(text()), true);
      choose(scene(text()).people.length - 1);
      list.focus(`${at}:0`);
    };
    const remove = () => {
      const { open, close } = now().person.element;
      at = Math.max(at - 1, 0); // the change shows whoever is at it
      change(removal(text(), { from: open.from, to: close.to }), true);
    };
    const [title, without] = [words("addPerson"), words("removePerson")];
    const nameOf = (one, i) => {
      const field = one.fields.find(({ name }) => fieldName(name) === "name");
      return field?.words || told.characters[i]?.name || one.element.name;
    };
    const names = read.people.map(nameOf);
    refill(tabs, [names, at, locked], () => [
      ...names.map((name, i) => tab(name, i, COLOURS[i % COLOURS.length])),
      ...(locked ? [] : [newButton({ textContent: "+", title, ariaLabel: title, onclick: add })]),
      ...(locked || !person ? [] : [newButton({ textContent: "−", title: without, ariaLabel: without, onclick: remove })]),
      tab(words("picture"), PICTURE),
    ]);
    const known = at === PICTURE ? PICTURE_FIELDS : PERSON_FIELDS;
    const present = new Set(fields.map(({ name }) => fieldName(name)));
    const idle = new Set(voidPositions(text()).map(({ from }) => from));
    list.show(
      fields.map((field, i) => ({
        key: `${at}:${i}`, name: field.name, label: words.field(field.name), text: field.words, trimmed: true,
        sentence: !field.plain || SENTENCES.includes(fieldName(field.name)),
        fixed: locked, idle: idle.has(field.element?.open.from) ? words("removePosition") : undefined,
      })),
      !locked ? known.filter((name) => !present.has(name)).map((name) => ({ name, label: words.field(name) })) : [],
    );
    list.diagnose((row) => {
      const field = fields[Number(row.key.split(":")[1])];
      return field ? within(field) : [];
    });
  }

  /** Goes to the field that holds this place of the prompt, where one does. */
  function jump(line, column) {
    const place = offsetOf(text().split("\n"), { line, column });
    const { people, picture } = scene(text());
    [...people.map(({ fields }) => fields), picture].forEach((fields, i) => {
      const found = fields.findIndex((field) => holds(field, place));
      if (found < 0) return;
      choose(i < people.length ? i : PICTURE);
      list.focus(`${at}:${found}`, placeIn(fields[found], place));
    });
  }
  return { element, show, choose, jump, remove: list.remove };
}
