// The prompt's text as elements and fields with places, and changes to it that leave everything else as it was typed. Pure
// functions.

/**
 * @typedef {{from: number, to: number}} Span
 * @typedef {{name: string, open: Span, close: Span, parent: Element | null, children: Element[]}} Element
 * @typedef {{from: number, to: number, insert: string}} Change
 * @typedef {[number, number, number, number]} Box left, top, right, bottom on the 0..1000 grid
 */

const NAME = "[\\p{L}_][\\p{L}\\p{N}_.\\-]*";
const MARKUP = `<!--[^]*?-->|<!\\[CDATA\\[[^]*?\\]\\]>|<(?<slash>/?)(?<name>${NAME})(?<rest>(?:\\s[^<>]*?)?)(?<empty>/?)>`;
const CHARACTER = /^(?:character|char|角色|人物)[_-]?(?:[0-9]{1,9}|[一二三四五六七八九十]?)$/iu;
const BOX = /^(?:bbox|边框)$/iu;
const POSITION = /^(?:position|位置)$/iu;
const ATTRIBUTE = /\sbbox\s*=\s*(?:"([^"]*)"|'([^']*)')/iu;
const PROMPT_START = /^prompt$/iu; // `<Prompt Start>` ends the system prompt and is no element

/**
 * Every element, in order of their opening tags, and whether all of them are closed.
 * @param {string} text
 * @returns {{elements: Element[], whole: boolean}}
 */
export function read(text) {
  const elements = [];
  const open = [];
  let whole = true;
  for (const match of text.matchAll(new RegExp(MARKUP, "gu"))) {
    const { slash, name, rest, empty } = match.groups;
    if (!name || (PROMPT_START.test(name) && /^\s+start\s*$/iu.test(rest))) continue;
    const span = { from: match.index, to: match.index + match[0].length };
    if (slash) {
      const at = open.findLastIndex((element) => element.name === name);
      if (at !== open.length - 1 || at < 0) whole = false;
      if (at >= 0) open.splice(at)[0].close = span;
      continue;
    }
    const parent = open.at(-1) ?? null;
    const element = { name, open: span, close: span, parent, children: [] };
    parent?.children.push(element);
    elements.push(element);
    if (!empty) open.push(element);
  }
  return { elements, whole: whole && open.length === 0 };
}

/** @param {string} text @returns {Element[]} the characters' blocks, in the order in which the reader numbers them */
export const characters = (text, elements = read(text).elements) =>
  elements.filter((element) => CHARACTER.test(element.name) && !inCharacter(element.parent));

const inCharacter = (element) => element !== null && (CHARACTER.test(element.name) || inCharacter(element.parent));
const child = (element, pattern) => element.children.find(({ name }) => pattern.test(name));

/**
 * The position words that a box has made void.
 * @param {string} text
 * @returns {Span[]}
 */
export function voidPositions(text) {
  return characters(text).flatMap((character) => {
    const position = child(character, POSITION);
    const boxed = child(character, BOX) || ATTRIBUTE.test(text.slice(character.open.from, character.open.to));
    return boxed && position ? [{ from: position.open.from, to: position.close.to }] : [];
  });
}

/**
 * Writes a character's box into the text: in place of the one that is there, or as its last element.
 * @param {string} text @param {Element} character @param {Box} box
 * @returns {Change}
 */
export function withBox(text, character, box) {
  const numbers = box.join(", ");
  const old = child(character, BOX);
  if (old) return { from: old.open.to, to: Math.max(old.open.to, old.close.from), insert: numbers };
  const tag = text.slice(character.open.from, character.open.to);
  const attribute = ATTRIBUTE.exec(tag);
  if (attribute) {
    const value = attribute[1] ?? attribute[2];
    const from = character.open.from + attribute.index + attribute[0].length - 1 - value.length;
    return { from, to: from + value.length, insert: numbers };
  }
  if (character.open === character.close) {
    const { from, to } = character.open;
    return { from, to, insert: `${tag.replace(/\s*\/>$/u, "")}><bbox>${numbers}</bbox></${character.name}>` };
  }
  const last = character.children.at(-1);
  const from = last ? last.close.to : character.open.to;
  const before = last ? last.open.from : character.close.from;
  const indent = /(\n[ \t]*)$/u.exec(text.slice(0, before))?.[1];
  const gap = indent ? (last ? indent : `${indent}  `) : last ? " " : "";
  return { from, to: from, insert: `${gap}<bbox>${numbers}</bbox>` };
}

/**
 * Takes a character's box out of the text, so that it is laid out by itself again.
 * @param {string} text @param {Element} character
 * @returns {Change | null}
 */
export function withoutBox(text, character) {
  const old = child(character, BOX);
  if (old) return removal(text, { from: old.open.from, to: old.close.to });
  const attribute = ATTRIBUTE.exec(text.slice(character.open.from, character.open.to));
  if (!attribute) return null;
  const from = character.open.from + attribute.index;
  return { from, to: from + attribute[0].length, insert: "" };
}

/**
 * Removes an element, and its line where it had one of its own.
 * @param {string} text @param {Span} span
 * @returns {Change}
 */
export function removal(text, { from, to }) {
  const before = /\n?[ \t]*$/u.exec(text.slice(0, from))[0];
  const alone = before.startsWith("\n") && /^[ \t]*(?:\n|$)/u.test(text.slice(to));
  return { from: alone ? from - before.length : from, to, insert: "" };
}

/**
 * One element a line, indented; what stands between two tags stays as it was typed.
 * @param {string} text
 * @returns {string | null} null where a tag is not closed, or there is none
 */
export function formatted(text) {
  const { elements, whole } = read(text);
  if (!whole || !elements.length) return null;
  const lines = [];
  let depth = 0;
  let at = 0;
  const indent = () => "  ".repeat(depth);
  const words = (to) => {
    for (const line of text.slice(at, to).split("\n")) if (line.trim()) lines.push(indent() + line.trim());
  };
  const tag = (span) => text.slice(span.from, span.to).replace(/\s+/gu, " ");
  const write = (element) => {
    words(element.open.from);
    at = element.close.to;
    if (!element.children.length) {
      lines.push(indent() + text.slice(element.open.from, element.close.to));
      return;
    }
    lines.push(indent() + tag(element.open));
    depth += 1;
    at = element.open.to;
    element.children.forEach(write);
    words(element.close.from);
    depth -= 1;
    lines.push(indent() + tag(element.close));
    at = element.close.to;
  };
  elements.filter(({ parent }) => !parent).forEach(write);
  words(text.length);
  return lines.join("\n");
}

// A prompt's characters, and what is said of each and of the picture

/**
 * @typedef {object} Field
 * @property {string} name of its element
 * @property {Element | null} element null: words of the block's own
 * @property {number} from @property {number} to of its words in the prompt
 * @property {string} words as they are read; where they hold markup, as they are written
 * @property {number[]} places of each of these words' letters, counted from `from`, and of their end
 * @property {boolean} plain they hold no markup
 */

const ENTITY = /&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9a-f]{1,6}));/giu;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const MOST = 0x10ffff; // the last character

const escaped = (words) => words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** What the written means, and where each letter of it is written. */
function meant(written) {
  let words = "";
  const places = [];
  const add = (letters, placeOf) => {
    for (let i = 0; i < letters.length; i += 1) places.push(placeOf(i));
    words += letters;
  };
  let at = 0;
  for (const { 0: entity, 1: name, 2: decimal, 3: hexadecimal, index } of written.matchAll(ENTITY)) {
    const code = decimal ? Number(decimal) : parseInt(hexadecimal, 16);
    const letter = name ? ENTITIES[name.toLowerCase()] : code && code <= MOST ? String.fromCodePoint(code) : entity;
    const from = at;
    add(written.slice(from, index), (i) => from + i);
    add(letter, () => index);
    at = index + entity.length;
  }
  add(written.slice(at), (i) => at + i);
  return { words, places: [...places, written.length] };
}

function fieldAt(text, name, element, { from, to }) {
  const written = text.slice(from, to);
  const plain = !new RegExp(MARKUP, "u").test(written);
  const asWritten = { words: written, places: Array.from({ length: written.length + 1 }, (_, i) => i) };
  return { name, element, from, to, plain, ...(plain ? meant(written) : asWritten) };
}

/** @param {Field} field @param {number} place in the prompt @returns {number} in the field's words */
export const placeIn = ({ from, places }, place) => places.findLastIndex((one) => from + one <= place);

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
  const { name, open, close } = element;
  if (open === close) return { name, element, plain: true, ...open, words: "", places: [0] }; // `<pose/>`
  return fieldAt(text, name, element, trimmed(text, open.to, Math.max(open.to, close.from)));
}

/** Words between a block's elements. */
function loose(text, block) {
  const inner = block.children.flatMap(({ open, close }) => [open.from, close.to]);
  const edges = [block.open.to, ...inner, block.close.from];
  const found = [];
  for (let i = 0; i < edges.length; i += 2) {
    const words = text.slice(edges[i], edges[i + 1]).trim();
    const span = trimmed(text, edges[i], edges[i + 1]);
    if (words) found.push(fieldAt(text, "other", null, span));
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

/**
 * Writes other words into a field: those that are new, so that no markup comes of them; the others stay as written.
 * @param {string} text @param {Field} field @param {string} words @returns {Change}
 */
export function withWords(text, { name, element, from, to, words: before, places, plain }, words) {
  if (!plain) return { from, to, insert: words }; // what is shown as markup is changed as markup
  if (element && element.open === element.close) return { from, to, insert: `<${name}>${escaped(words)}</${name}>` };
  const most = Math.min(before.length, words.length);
  let [start, end] = [0, 0];
  while (start < most && before[start] === words[start]) start += 1;
  while (start && places[start] === places[start - 1]) start -= 1; // not within what one entity stands for
  while (end < most - start && before.at(-1 - end) === words.at(-1 - end)) end += 1;
  while (end && places.at(-1 - end) === places.at(-2 - end)) end -= 1;
  const [first, last] = [places[start], places.at(-1 - end)];
  const insert = escaped(words.slice(start, words.length - end));
  const kept = text.slice(from, from + first);
  const written = kept + insert + text.slice(from + last, to);
  // A plain `&` or `<` of before may become an entity or a tag by what is behind it now.
  if (meant(written).words !== words || kept.endsWith("<") || new RegExp(MARKUP, "u").test(written))
    return { from, to, insert: escaped(words) };
  return { from: from + first, to: from + last, insert };
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
