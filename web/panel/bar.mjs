// The buttons over a panel, and the properties of the node that they switch: what its panel shows, and no more.
import { remember } from "./widget.mjs";

export const LAYOUT = "newbie.layout";
export const PLAIN = "newbie.plain"; // the host's own widgets instead
export const PEOPLE = "newbie.people"; // a tab for each person instead of the text
export const LAYOUT_HEIGHT = 240; // pixels

/** @param {(word: string) => string} words @param {object} app @param {object} node @param {() => void} show */
export function newBar(words, app, node, show) {
  const element = document.createElement("div");
  element.className = "newbie-bar";
  const button = (word, run) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: words(word), title: words(`${word}Hint`), onclick: run });
    element.append(made);
    return made;
  };
  /** Of `others` none stays on with it. */
  const toggle = (word, property, others = []) => {
    const made = button(word, () => {
      node.properties[property] = !node.properties[property];
      for (const other of others) if (node.properties[other]) node.properties[other] = false;
      const grown = property === LAYOUT ? (node.properties[LAYOUT] ? LAYOUT_HEIGHT : -LAYOUT_HEIGHT) : 0;
      show();
      if (grown) node.setSize([node.size[0], Math.max(node.size[1] + grown, node.computeSize()[1])]);
      remember(app);
    });
    toggles.push(() => (made.ariaPressed = String(Boolean(node.properties[property]))));
    return made;
  };
  const toggles = [];
  return { element, button, toggle, show: () => toggles.forEach((one) => one()) };
}
