// A prompt's characters, and what is said of each and of the picture, as fields with places; and changes of one field
// that leave everything else as it was typed. Pure functions.
import { characters, read, removal } from "./xml.mjs";

/**
 * @typedef {import("./xml.mjs").Element} Element
 * @typedef {import("./xml.mjs").Change} Change
 * @typedef {object} Field
 * @property {string} name of its element
 * @property {Element | null} element null: words of the block's own
 * @property {number} from @property {number} to of its words
 * @property {string} words
 * @property {boolean} plain its words hold no elements
 */

const GENERAL = /^(?:general(?:_tags?)?|通用标签|整体标签|通用)$/iu;
const OF_ALL = ["caption", "interaction"]; // beside the general tags, not in them
const SAME = {
  n: "name", pose: "action", 名字: "name", 性别: "gender", 外貌: "appearance", 服装: "clothing", 表情: "expression",
  动作: "action", 姿势: "action", 位置: "position", 负面: "negative", 风格: "style", 背景: "background", 互动: "interaction",
};
export const PERSON_FIELDS = [
  "name", "gender", "appearance", "clothing", "expression", "action", "position", "negative",
];
export const PICTURE_FIELDS = [
  "caption", "count", "artists", "style", "background", "lighting", "atmosphere", "quality", "objects", "interaction",
];

/** @param {string} name of an element @returns {string} the field that it is another name of */
export const fieldName = (name) => SAME[name.toLowerCase()] ?? name.toLowerCase();

function trimmed(text, from, to) {
  const words = text.slice(from, to);
  const start = from + /^\s*/u.exec(words)[0].length;
  return start > to || !words.trim() ? { from, to: from } : { from: start, to: from + words.trimEnd().length };
}

function fieldOf(text, element) {
  const { name, open, close, children } = element;
  if (open === close) return { name, element, plain: true, ...open, words: "" }; // `<pose/>`
  const span = trimmed(text, open.to, Math.max(open.to, close.from));
  return { name, element, plain: !children.length, ...span, words: text.slice(span.from, span.to) };
}

/** Words between a block's elements. */
function loose(text, block) {
  const inner = block.children.flatMap(({ open, close }) => [open.from, close.to]);
  const edges = [block.open.to, ...inner, block.close.from];
  const found = [];
  for (let i = 0; i < edges.length; i += 2) {
    const words = text.slice(edges[i], edges[i + 1]).trim();
    const span = trimmed(text, edges[i], edges[i + 1]);
    if (words) found.push({ name: "other", element: null, plain: true, ...span, words });
  }
  return found;
}

const holdsPeople = ({ children }, people) =>
  children.some((one) => people.includes(one) || holdsPeople(one, people));

/**
 * @param {string} text
 * @returns {{people: {element: Element, fields: Field[]}[], picture: Field[], whole: boolean}}
 */
export function scene(text) {
  const { elements, whole } = read(text);
  const people = characters(text, elements);
  const general = elements.find(({ name }) => GENERAL.test(name));
  const isRoot = (one) => !one.parent && one.children.length && !people.includes(one);
  const around = new Set(elements.filter((one) => GENERAL.test(one.name) || holdsPeople(one, people) || isRoot(one)));
  const inPicture = (one) => !people.includes(one) && !around.has(one) && (!one.parent || around.has(one.parent));
  const ofPerson = (element) => [...element.children.map((one) => fieldOf(text, one)), ...loose(text, element)];
  return {
    people: people.map((element) => ({ element, fields: ofPerson(element).sort((a, b) => a.from - b.from) })),
    picture: [...elements.filter(inPicture).map((one) => fieldOf(text, one)), ...(general ? loose(text, general) : [])],
    whole,
  };
}

/** @param {string} text @param {Field} field @param {string} words @returns {Change} */
export function withWords(text, { name, element, from, to }, words) {
  const closed = element && element.open === element.close;
  return { from, to, insert: closed ? `<${name}>${words}</${name}>` : words };
}

/** @param {string} text @param {Field} field @returns {Change} */
export const withoutField = (text, { element, from, to }) =>
  removal(text, element ? { from: element.open.from, to: element.close.to } : { from, to });

/** Puts XML into an element as its last, or behind everything, on a line of its own where its neighbours have one. */
function appended(text, parent, xml) {
  if (!parent) return { from: text.trimEnd().length, to: text.length, insert: `${text.trim() ? "\n" : ""}${xml}` };
  if (parent.open === parent.close) {
    const opened = text.slice(parent.open.from, parent.open.to).replace(/\s*\/>$/u, "");
    return { ...parent.open, insert: `${opened}>${xml}</${parent.name}>` };
  }
  const last = parent.children.at(-1);
  const from = last ? last.close.to : trimmed(text, parent.open.to, parent.close.from).to;
  const own = /(\n[ \t]*)$/u.exec(text.slice(0, last ? last.open.from : parent.close.from))?.[1];
  const indent = own && (last ? own : `${own}  `);
  return { from, to: from, insert: indent ? indent + xml.replaceAll("\n", indent) : xml };
}

/** @param {string} text @param {Element | null} person null: of the picture @param {string} name @returns {Change} */
export function withField(text, person, name) {
  const xml = `<${name === "name" ? "n" : name}></${name === "name" ? "n" : name}>`;
  if (person) return appended(text, person, xml);
  const { elements } = read(text);
  const people = characters(text, elements);
  const general = elements.find((one) => GENERAL.test(one.name));
  const root = elements.find((one) => !one.parent && holdsPeople(one, people)) ?? null;
  if (OF_ALL.includes(name)) return appended(text, root, xml);
  return general ? appended(text, general, xml) : appended(text, root, `<general_tags>\n  ${xml}\n</general_tags>`);
}

const rootOf = (elements) =>
  elements.find(({ name, parent, children }) => !parent && children.length && !GENERAL.test(name)) ?? null;

/** @param {string} text @returns {Change} one more, without anything said of them yet */
export function withPerson(text) {
  const people = characters(text);
  const numbers = people.map(({ name }) => Number(/\d+$/u.exec(name)?.[0] ?? 0));
  const name = `character_${Math.max(0, people.length, ...numbers) + 1}`;
  const xml = `<${name}>\n  <n></n>\n</${name}>`;
  const last = people.at(-1);
  if (!last) return appended(text, rootOf(read(text).elements), xml);
  const indent = /\n([ \t]*)$/u.exec(text.slice(0, last.open.from))?.[1] ?? "";
  return { from: last.close.to, to: last.close.to, insert: `\n${indent}${xml.replaceAll("\n", `\n${indent}`)}` };
}
