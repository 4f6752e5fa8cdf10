// A field's text as tags with places, as xml_prompt/tags.py reads it, and changes of one tag. Pure functions.

/**
 * @typedef {{from: number, to: number}} Span
 * @typedef {Span & {words: Span, weight: number}} Piece what stands between two separators, and what its brackets weigh
 * @typedef {{from: number, to: number, insert: string}} Change
 */

const EDGE = /[([{（,，、;；\n]/g; // of a tag
const CLOSED_BY = { "(": ")）", "（": ")）", "[": "]", "{": "}" };
const FACTOR = { "(": 1.1, "（": 1.1, "[": 0.9091, "{": 1.05 };
const CLOSING = ")）]}";
const MARK = /\\[()[\]{}（）\\:：,，、;；\n]|::+|[()（）[\]{},，、;；\n]/g;
const BETWEEN = /[,，、；\s]*/y; // not `;`, which `;)` begins with
// Faces with a bracket or a `;`: nothing else in them could be taken for a mark.
const FACES = [
  "\\(^o^)/", "(o)_(o)", "(;_;)", "(^_^)", "(^o^)", "(>_<)", "(=_=)", "(._.)", "^_^;", ">:(", ">:)", ">;)", ";_;",
  ";w;", "(:3", ":)", ":(", ";)", ";(", ";3", ";d", ";o", ";p", ";q", "d;", "=)", "=(",
];
const FIRSTS = new Set(["（", ...FACES.flatMap(([first]) => [first, first.toUpperCase()])]);
// (´・ω・`): brackets around marks, of which one at least is not English, and no word.
const KAOMOJI = new RegExp(
  "[(（](?=[^()（）]{0,24}[^\\x00-\\x7f])(?=(?:[^()（）]{0,24}?[^\\p{L}\\p{N}_\\s()（）]){2})" +
    "(?![^()（）]{0,24}\\p{L}{2})(?![^()（）]{0,24}[:：][0-9.]+[)）])[^()（）\\n]{3,24}[)）]",
  "uy",
);
const AFTER_FACE = /[ \t\u3000]*(?:[,，、;；\n)）\]}]|[:：][0-9]*\.?[0-9]|::|$)/y;
const AFTER_OPEN_FACE = /[ \t\u3000]*(?:[,，、;；\n]|$)/y;
const NUMBER = "[0-9]{1,4}(?:\\.[0-9]{0,8})?|\\.[0-9]{1,8}";
const GROUP_WEIGHT = new RegExp(`[:：]\\s*(${NUMBER})\\s*$`);
const BARE_WEIGHT = /(?<=[^\s:：\\])[:：]([0-9]{0,2}\.[0-9]{1,4})$/;
const NUMERIC_GROUP = new RegExp(`(${NUMBER})::(?!:)`, "y");
const FOREIGN = /^[[{].*\||^\[.*[:：]\s{0,8}[0-9.]{1,8}\s{0,8}\]$/su; // a choice or a schedule weighs nothing
export const [LEAST, MOST, STEP] = [0.05, 5, 0.05]; // weights that the keys reach, and how far one goes

const SPECIAL = /[()（）[\]{}\\:：;]/; // without one a tag is its words

const at = (pattern, text, place) => {
  pattern.lastIndex = place;
  return pattern.exec(text);
};
const between = (text, place) => place + at(BETWEEN, text, place)[0].length;

function faceEnd(text, from) {
  const kaomoji = at(KAOMOJI, text, from)?.[0] ?? "";
  if (kaomoji && at(AFTER_FACE, text, from + kaomoji.length)) return from + kaomoji.length;
  const face = FACES.find((one) => text.slice(from, from + one.length).toLowerCase() === one);
  const after = face?.startsWith("(") && !face.includes(")") ? AFTER_OPEN_FACE : AFTER_FACE;
  return face && at(after, text, from + face.length) ? from + face.length : from;
}

/** Of one pass: where each bracket's partner is, and which marks are only characters. */
function marksOf(text) {
  const partner = new Map();
  const literal = new Set();
  const open = [];
  const begin = (place) => {
    const from = between(text, place);
    const to = FIRSTS.has(text[from]) && !at(NUMERIC_GROUP, text, from) ? faceEnd(text, from) : from;
    for (let i = from; i < to; i += 1) literal.add(i);
    return to;
  };
  MARK.lastIndex = begin(0);
  for (let found = MARK.exec(text); found; found = MARK.exec(text)) {
    const { 0: mark, index: i } = found;
    const next = MARK.lastIndex;
    if (mark[0] === "\\") literal.add(i).add(i + 1);
    else if (CLOSING.includes(mark)) {
      if (CLOSED_BY[text[open.at(-1)]]?.includes(mark)) {
        const from = open.pop();
        partner.set(from, i).set(i, from);
      } else literal.add(i);
    } else {
      if (mark in CLOSED_BY) open.push(i);
      const eyes = mark[0] === ":" ? begin(next - 1) : 0; // the last of several colons may be those of `:)`
      MARK.lastIndex = eyes > next ? eyes : begin(next);
    }
  }
  open.forEach((i) => literal.add(i));
  return { partner, literal };
}

function* pieces(text, start, end, { partner, literal }) {
  let first = Math.min(between(text, start), end);
  for (let i = first; first < end; ) {
    const group = i === first && at(NUMERIC_GROUP, text, i);
    const close = group ? text.indexOf("::", i + group[0].length) : -1;
    if (close >= 0 && close < end) i = close + 2;
    EDGE.lastIndex = i;
    while (EDGE.test(text) && literal.has(EDGE.lastIndex - 1));
    i = EDGE.lastIndex ? Math.min(EDGE.lastIndex - 1, end) : end;
    if (i < end && text[i] in CLOSED_BY) {
      i = (partner.get(i) ?? end) < end ? partner.get(i) + 1 : i + 1;
      continue;
    }
    let last = i;
    while (last > first && /\s/.test(text[last - 1]) && !literal.has(last - 1)) last -= 1;
    if (first < last) yield { from: first, to: last };
    first = i = i < end ? Math.min(between(text, i + 1), end) : end;
  }
}

/** The piece without the brackets that weigh all of it. */
function weighed(text, piece, marks) {
  let { from, to } = piece;
  if (!SPECIAL.test(text.slice(from, to))) return { ...piece, words: piece, weight: 1 };
  let weight = 1;
  const inner = (start, end, factor) => {
    const [one, ...others] = pieces(text, start, end, marks);
    if (!one) return false;
    weight *= factor;
    [from, to] = [one.from, (others.at(-1) ?? one).to];
    return !others.length; // of a single tag more brackets may be taken
  };
  for (;;) {
    const group = at(NUMERIC_GROUP, text, from);
    if (group && text.indexOf("::", from + group[0].length) === to - 2) {
      if (inner(from + group[0].length, to - 2, Number(group[1]))) continue;
      break;
    }
    const whole = text.slice(from, to);
    if (marks.partner.get(from) === to - 1 && !FOREIGN.test(whole)) {
      const stated = GROUP_WEIGHT.exec(text.slice(from + 1, to - 1));
      const colon = stated && from + 1 + stated.index;
      const isStated = stated?.index > 0 && !marks.literal.has(colon);
      if (inner(from + 1, isStated ? colon : to - 1, isStated ? Number(stated[1]) : FACTOR[text[from]])) continue;
      break;
    }
    const bare = BARE_WEIGHT.exec(whole);
    if (bare && !marks.literal.has(from + bare.index)) {
      weight *= Number(bare[1]);
      to = from + whole.slice(0, bare.index).trimEnd().length;
    }
    break;
  }
  return { ...piece, words: { from, to }, weight: Math.round(weight * 1e4) / 1e4 };
}

/** @param {string} text @returns {Piece[]} */
export function tagsOf(text) {
  const marks = marksOf(text);
  return [...pieces(text, 0, text.length, marks)].map((piece) => weighed(text, piece, marks));
}

/** @param {string} text @param {Piece} tag @param {number} weight @returns {Change | null} null: it can't be written */
export function withWeight(text, tag, weight) {
  const wanted = Math.round(Math.min(Math.max(weight, LEAST), MOST) * 100) / 100;
  const words = text.slice(tag.words.from, tag.words.to);
  const insert = wanted === 1 ? words : `(${words}:${wanted})`;
  const [read, ...more] = tagsOf(insert);
  const same = wanted === 1 || (!more.length && insert.slice(read.words.from, read.words.to) === words);
  return same && (wanted === 1 || read.weight === wanted) ? { from: tag.from, to: tag.to, insert } : null;
}

/** Exchanges two tags; what stands between them stays. @param {string} text @param {Span} a before @param {Span} b */
export const exchanged = (text, a, b) => ({
  from: a.from,
  to: b.to,
  insert: text.slice(b.from, b.to) + text.slice(a.to, b.from) + text.slice(a.from, a.to),
});

/** Takes a tag out, with the separator behind it or, at the end, before it. @returns {Change} */
export function without(text, tag) {
  const behind = /^[ \t]*[,，、;；][ \t]*/u.exec(text.slice(tag.to))?.[0].length ?? 0;
  const before = behind ? 0 : (/[ \t]*[,，、;；]?[ \t]*$/u.exec(text.slice(0, tag.from))?.[0].length ?? 0);
  return { from: tag.from - before, to: tag.to + behind, insert: "" };
}
