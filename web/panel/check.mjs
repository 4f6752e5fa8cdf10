// Asks the server's own reader about a prompt as it is typed: the last question counts, and one at a time is under way.

export const PATH = "/newbie_xml/check";
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
 * @returns {(now?: boolean) => void} call it whenever the prompt has changed
 */
export function checker(api, question, answered) {
  let timer = 0;
  let asking = false;
  let again = false;

  async function ask() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const body = JSON.stringify(question());
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

  return (now = false) => {
    clearTimeout(timer);
    timer = setTimeout(ask, now ? 0 : PAUSE);
  };
}
