// A prompt's XML as one tab for each person and one for the picture, each with its fields as chips.
import { fieldList } from "./fields.mjs";
import { COLOURS } from "./layout.mjs";
import {
  fieldName, PERSON_FIELDS, PICTURE_FIELDS, scene, withField, withoutField, withPerson, withWords,
} from "./xml_fields.mjs";

const SENTENCES = ["name", "caption", "bbox", "spacing"];
const PICTURE = -1;

/**
 * @param {object} options
 * @param {(word: string) => string} options.words
 * @param {(context: object, name: string) => object | null} options.complete
 * @param {() => string} options.text the prompt's
 * @param {(change: import("./xml.mjs").Change) => void} options.change
 * @param {(index: number) => void} options.chosen a person's tab
 */
export function peopleView({ words, complete, text, change, chosen }) {
  const element = document.createElement("div");
  element.className = "newbie-people";
  const tabs = document.createElement("div");
  tabs.className = "newbie-tabs";
  tabs.setAttribute("role", "tablist");
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
    changed: (key, typed) => change(withWords(text(), fieldAt(key), typed)),
    removed: (key) => change(withoutField(text(), fieldAt(key))),
    added: (name) => {
      change(withField(text(), now().person?.element ?? null, name));
      const place = now().fields.findLastIndex((field) => fieldName(field.name) === name);
      list.focus(`${at}:${place}`);
    },
  });
  element.append(tabs, list.element);

  function tab(label, index, colour) {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: label, ariaSelected: String(at === index) });
    made.setAttribute("role", "tab");
    if (colour) made.style.setProperty("--newbie-person", colour);
    made.onclick = () => {
      choose(index);
      if (index !== PICTURE) chosen(index);
    };
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
      const before = text().slice(field.from, place).split("\n");
      return [{ ...one, line: before.length, column: before.at(-1).length + 1 }];
    });
  }

  function show(verdict = told) {
    told = verdict;
    const count = scene(text()).people.length;
    if (at >= count) at = count - 1; // with nobody left: the picture
    const { read, fields } = now();
    const locked = /^\s*[{[]/u.test(text()) ? words("locked") : read.whole ? undefined : words("unformatted");
    const add = document.createElement("button");
    Object.assign(add, { type: "button", textContent: "+", title: words("addPerson"), ariaLabel: words("addPerson") });
    add.onclick = () => {
      change(withPerson(text()));
      choose(scene(text()).people.length - 1);
      list.focus(`${at}:0`);
    };
    const nameOf = (person, i) => {
      const field = person.fields.find(({ name }) => fieldName(name) === "name");
      return field?.words || told.characters[i]?.name || person.element.name;
    };
    tabs.replaceChildren(
      ...read.people.map((person, i) => tab(nameOf(person, i), i, COLOURS[i % COLOURS.length])),
      ...(locked ? [] : [add]),
      tab(words("picture"), PICTURE),
    );
    const known = at === PICTURE ? PICTURE_FIELDS : PERSON_FIELDS;
    const present = new Set(fields.map(({ name }) => fieldName(name)));
    list.show(
      fields.map((field, i) => ({
        key: `${at}:${i}`, name: field.name, label: words.field(field.name), text: field.words,
        sentence: !field.plain || SENTENCES.includes(fieldName(field.name)),
        fixed: locked,
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
      list.focus(`${at}:${found}`, place - fields[found].from);
    });
  }
  return { element, show, choose, jump, remove: list.remove };
}
