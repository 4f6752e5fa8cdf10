// What the reader repaired, guessed or refused, as a list below the prompt. A click jumps to the place.

/**
 * @typedef {{kind: "problem" | "warning", message: string, line?: number, column?: number,
 *   action?: {label: string, run: () => void}}} Entry
 */

/**
 * @param {(word: string) => string} words
 * @param {(line: number, column: number) => void} jump
 * @returns {{element: HTMLElement, show: (entries: Entry[]) => void}}
 */
export function messageList(words, jump) {
  const element = document.createElement("ul");
  element.className = "newbie-messages";
  element.setAttribute("role", "status");
  element.hidden = true;

  const row = ({ kind, message, line, column, action }) => {
    const item = document.createElement("li");
    item.className = `newbie-${kind}`;
    item.title = words(kind);
    if (line) {
      const place = document.createElement("button");
      place.type = "button";
      place.className = "newbie-place";
      place.textContent = `${line}:${column}`;
      place.onclick = () => jump(line, column);
      item.append(place, " ");
    }
    item.append(message);
    if (action) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "newbie-action";
      button.textContent = action.label;
      button.onclick = action.run;
      item.append(" ", button);
    }
    return item;
  };

  const show = (entries) => {
    element.replaceChildren(...entries.map(row));
    element.hidden = entries.length === 0;
  };
  return { element, show };
}
