// Links in the nodes' help to the page on the prompt language. The front-end resolves links against the page it runs in,
// not against the help text, and the host serves .md as a download.
import { app } from "../../scripts/app.js";

async function open(name) {
  const page = window.open("", "_blank"); // before anything is awaited: a click may open a tab, a timer may not
  const answer = await fetch(new URL(`docs/${name}`, import.meta.url));
  const text = page.document.createElement("pre");
  text.style.cssText = "white-space: pre-wrap; max-width: 60em; margin: 2em auto; font: 14px/1.5 monospace";
  text.textContent = answer.ok ? await answer.text() : `${name}: ${answer.status} ${answer.statusText}`;
  page.document.title = name;
  page.document.body.replaceChildren(text);
}

app.registerExtension({
  name: "NewBie.HelpLinks",
  setup() {
    document.addEventListener(
      "click",
      (event) => {
        const href = event.target.closest?.("a[href]")?.getAttribute("href");
        const name = href?.match(/^(?:\.\.\/)?(language(?:\.zh)?\.md)$/)?.[1];
        if (!name) return;
        event.preventDefault();
        event.stopPropagation();
        open(name);
      },
      true,
    );
  },
});
