// The prompt's text as elements with places, and changes to it that leave everything else as it was typed. Pure functions.

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

/** @param {string} text @param {Element} element @returns {string} what stands between its tags */
export const inside = (text, element) => text.slice(element.open.to, Math.max(element.open.to, element.close.from));

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

/** @param {string} text @param {Change | null} change @returns {string} */
export const applied = (text, change) =>
  change ? text.slice(0, change.from) + change.insert + text.slice(change.to) : text;
