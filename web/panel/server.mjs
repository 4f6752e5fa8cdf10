// What the server's own reader knows: its verdict on a prompt as it is typed, where the last question counts and one at a
// time is under way; and what may be typed next: elements, position words, names for `between`, and tags.
import { characters, read } from "./xml.mjs";

const PATH = "/newbie_xml/check";
const PAUSE = 200; // milliseconds without a key

/**
 * @typedef {{message: string, line: number, column: number}} Told
 * @typedef {{problem: Told | null, warnings: Told[], hint: string | null, xml: string | null,
 *   characters: {id: string, name: string, box: import("./xml.mjs").Box, stated: boolean}[]}} Verdict
 */

/**
 * @param {object} api the host's
 * @param {() => object} question the request's body, asked for when it is sent
 * @param {(verdict: Verdict) => void} answered
 * @returns {((now?: boolean) => void) & {ifOther: () => void}} call it whenever the prompt has changed; `ifOther` when
 *   something else may have, such as the shape of the picture
 */
export function checker(api, question, answered) {
  let timer = 0;
  let asking = false;
  let again = false;
  let asked = "";

  async function ask() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const body = (asked = JSON.stringify(question()));
      const headers = { "Content-Type": "application/json" };
      const answer = await api.fetchApi(PATH, { method: "POST", headers, body });
      if (answer.ok && !again) answered(await answer.json());
    } catch (error) {
      console.debug("NewBie: the prompt could not be checked", error); // the server is away: the run will tell
    } finally {
      asking = false;
      if (again) {
        again = false;
        ask();
      }
    }
  }

  const soon = (now = false) => {
    clearTimeout(timer);
    timer = setTimeout(ask, now ? 0 : PAUSE);
  };
  return Object.assign(soon, { ifOther: () => JSON.stringify(question()) !== asked && soon() });
}

const NAME = /<n>\s*([^<]+?)\s*<\/n>|<name>\s*([^<]+?)\s*<\/name>/giu;
const CHARACTER = /^(?:character|char|角色|人物)/iu;
const TAGLESS = /^(?:n|name|bbox|caption)$/iu; // their content is no list of tags
const PLACES = /^(?:position|位置)$/iu;

/** The innermost element that a place is in, closed or not. */
function around(text, at) {
  const { elements } = read(text.slice(0, at));
  const open = ({ open: span, close }) => close === span && !text.slice(span.from, span.to).endsWith("/>");
  return elements.findLast(open) ?? null;
}

const elementOption = (name) => ({
  label: name,
  type: "type",
  apply: (view, completion, from, to) => {
    const open = `<${name}>`;
    const begin = view.state.sliceDoc(from - 1, from) === "<" ? from - 1 : from;
    const insert = `${open}</${name}>`;
    view.dispatch({ changes: { from: begin, to, insert }, selection: { anchor: begin + open.length } });
  },
});

/** @param {object} api @returns {Promise<{character: string[], general: string[], positions: string[]}>} */
async function vocabulary(api) {
  const answer = await api.fetchApi(PATH);
  return answer.ok ? answer.json() : { character: [], general: [], positions: [] };
}

let known = null; // asked for once a page

/** @param {object} api the host's @returns {Promise<ReturnType<typeof completions>>} */
export const knowledge = (api) =>
  (known ??= Promise.all([
    vocabulary(api),
    fetch(new URL("./tags.json", import.meta.url)).then((answer) => answer.json()),
  ]).then(([names, tags]) => completions(names, tags)));

/**
 * @param {{character: string[], general: string[], positions: string[]}} vocabulary
 * @param {{tags: [string, string][]}} list English tag, Chinese meaning
 * @returns {(context: object, field?: string) => object | null} a completion source; field: the text is of one, no XML
 */
function completions(vocabulary, list) {
  const tags = list.tags.map(([label, detail]) => ({ label, detail, type: "text" }));
  const spaced = tags.map((tag) => ({ ...tag, label: tag.label.replaceAll("_", " ") }));
  const byChinese = list.tags.map(([label, detail]) => ({ label: detail, detail: label, apply: label, type: "text" }));
  const offered = ({ from }, options, validFor = /^[\p{L}\p{N}_]*$/u) => ({ from, options, validFor });
  const positions = vocabulary.positions.map((label) => ({ label, type: "keyword" }));

  const inField = (context, name) => {
    const word = context.matchBefore(/[\p{L}\p{N}_]+/u);
    if ((!word && !context.explicit) || (name && TAGLESS.test(name))) return null;
    if (name && PLACES.test(name)) return offered(word ?? { from: context.pos }, positions);
    const run = context.matchBefore(/[\p{L}\p{N}_][\p{L}\p{N}_ ]*/u); // a tag typed with spaces is completed with them
    const begun = run?.text.includes(" ") ? run.text.toLowerCase() : null;
    const alike = begun ? spaced.filter(({ label }) => label.startsWith(begun)) : [];
    if (alike.length) return offered(run, alike, /^[\p{L}\p{N}_ ]*$/u);
    return offered(word ?? { from: context.pos }, [...tags, ...byChinese]);
  };

  return (context, field) => {
    if (field) return inField(context, field);
    const text = context.state.doc.toString();
    const begun = context.matchBefore(/<[\p{L}_]*/u);
    if (begun) {
      const parent = around(text, begun.from);
      const names = parent && CHARACTER.test(parent.name)
        ? vocabulary.character
        : [`character_${characters(text).length + 1}`, "general_tags", "interaction", ...vocabulary.general];
      return { from: begun.from + 1, options: [...new Set(names)].map(elementOption), validFor: /^[\p{L}_]*$/u };
    }
    const between = context.matchBefore(/between\s*=\s*"[^"<>]*/u);
    if (between) {
      const word = /[^",]*$/u.exec(between.text)[0];
      const names = [...text.matchAll(NAME)].map((match) => match[1] ?? match[2]);
      const options = [...new Set(names)].map((label) => ({ label, type: "variable" }));
      return { from: between.to - word.trimStart().length, options };
    }
    return inField(context, around(text, context.pos)?.name);
  };
}
