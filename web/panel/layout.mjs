// Everybody's box over the picture: drag, resize, arrow keys, typed numbers. It shows boxes and says where they should be.
import { newElement } from "./widget.mjs";

const GRID = 1000; // boxes count in thousandths of the picture
const SNAP = 12; // thousandths within which an edge is drawn to a line
const THIRDS = [0, 333, 667, GRID];
const LEAST = 20; // no box is smaller
const STEP = 5;
const LARGE_STEP = 50; // with Shift
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const EDGES = ["left", "top", "right", "bottom"];
const CORNERS = { nw: [0, 1], ne: [2, 1], sw: [0, 3], se: [2, 3] }; // which edges of the box a corner moves
export const COLOURS = [
  "#5ecec9", "#748ef8", "#faa0be", "#face6e", "#96d678", "#c494f6", "#ff8a65", "#4fc3f7", "#d4a373", "#e6ee6c",
  "#f06292", "#a5b4c4",
];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** @param {number[]} box @returns {number[]} whole numbers in the picture, left before right and top before bottom */
function tidy([left, top, right, bottom]) {
  const [x0, x1] = [clamp(Math.round(left), 0, GRID - LEAST), clamp(Math.round(top), 0, GRID - LEAST)];
  return [x0, x1, clamp(Math.round(right), x0 + LEAST, GRID), clamp(Math.round(bottom), x1 + LEAST, GRID)];
}

/** How far to shift so that the nearest of the edges lies on the nearest line; 0 where none is near. */
function pull(edges, lines) {
  const shifts = edges.flatMap((edge) => lines.map((line) => line - edge)).filter((shift) => Math.abs(shift) <= SNAP);
  return shifts.length ? shifts.reduce((least, shift) => (Math.abs(shift) < Math.abs(least) ? shift : least)) : 0;
}

/**
 * The box after a corner or all of it has been moved.
 * @param {number[]} box @param {number[] | null} corner edges that move, null: all @param {number} dx @param {number} dy
 * @param {number[][]} others whose edges attract; with none given nothing does
 */
function moved(box, corner, dx, dy, others = null) {
  const attract = (axis, edges) => {
    if (!others) return 0;
    return pull(edges, [...THIRDS, ...others.flatMap((other) => [other[axis], other[axis + 2]])]);
  };
  const after = [...box];
  if (corner) {
    const [across, down] = corner;
    after[across] += dx + attract(0, [box[across] + dx]);
    after[down] += dy + attract(1, [box[down] + dy]);
    after[across] = across ? Math.max(after[across], box[0] + LEAST) : Math.min(after[across], box[2] - LEAST);
    after[down] = down === 3 ? Math.max(after[down], box[1] + LEAST) : Math.min(after[down], box[3] - LEAST);
    return tidy(after);
  }
  const x = clamp(dx + attract(0, [box[0] + dx, box[2] + dx]), -box[0], GRID - box[2]);
  const y = clamp(dy + attract(1, [box[1] + dy, box[3] + dy]), -box[1], GRID - box[3]);
  return tidy([box[0] + x, box[1] + y, box[2] + x, box[3] + y]);
}

/**
 * @typedef {{id: string, name: string, box: number[], stated: boolean, ghost?: boolean}} Person
 * @param {object} options
 * @param {(word: string) => string} options.words
 * @param {(index: number, box: number[] | null) => void} options.place null: laid out by itself again
 * @param {(index: number) => void} [options.picked] by the user
 * @returns {{element: HTMLElement, show: (people: Person[], aspect: number, picture: string | null,
 *   locked: string) => void, choose: (index: number) => void}}
 */
export function layout({ words, place, picked }) {
  const stage = newElement("div", { className: "newbie-stage" });
  const frame = newElement("div", { className: "newbie-frame" }, stage);
  const foot = newElement("div", { className: "newbie-numbers" });
  const element = newElement("div", { className: "newbie-layout" }, frame, foot);

  /** @type {Person[]} */
  let people = [];
  let chosen = 0;
  let locked = ""; // why nothing can be moved
  let dragging = false;
  let later = null; // what came to be shown meanwhile

  const others = (index) => people.filter((_, i) => i !== index).map(({ box }) => box);
  const paint = (target, box) => {
    const [left, top, right, bottom] = box.map((edge) => edge / 10);
    Object.assign(target.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
    target.ariaLabel = `${target.dataset.name}: ${box.join(", ")}`;
  };
  const put = (index, box) => {
    if (people[index].box.join() === box.join() && people[index].stated) return;
    people[index] = { ...people[index], box, stated: true };
    paint(stage.children[index], box);
    stage.children[index].classList.add("newbie-stated");
    numbers();
    place(index, box);
  };
  const choose = (index) => {
    chosen = index;
    [...stage.children].forEach((box, i) => box.classList.toggle("newbie-chosen", i === index));
    numbers();
  };

  const who = newElement("span", { className: "newbie-who" });
  const fields = EDGES.map((edge, i) => {
    const field = newElement("input", { type: "number", min: 0, max: GRID, title: words(edge), ariaLabel: words(edge) });
    field.onchange = () => {
      const box = [...people[chosen].box];
      box[i] = Number(field.value);
      if (field.value) put(chosen, tidy(box));
      field.value = people[chosen].box[i];
    };
    return field;
  });

  function numbers() {
    const person = people[chosen];
    if (!person) {
      foot.replaceChildren(words("nobody"));
      return;
    }
    who.textContent = person.name || person.id;
    who.style.setProperty("--newbie-person", colour(chosen));
    fields.forEach((field, i) => {
      if (field !== document.activeElement) field.value = person.box[i]; // else it is being typed in
      field.disabled = Boolean(locked || person.ghost);
    });
    if (who.parentNode !== foot) foot.replaceChildren(who, ...fields);
    foot.title = locked || words("hint");
  }

  function drag(event, index, corner) {
    if (locked || people[index].ghost || event.button > 0) return;
    event.preventDefault();
    event.stopPropagation();
    const box = stage.children[index];
    const area = stage.getBoundingClientRect();
    const from = people[index].box;
    let now = from;
    box.focus();
    choose(index);
    picked?.(index);
    dragging = true;
    const target = event.currentTarget;
    target.setPointerCapture(event.pointerId);
    target.onpointermove = (move) => {
      const dx = ((move.clientX - event.clientX) / area.width) * GRID;
      const dy = ((move.clientY - event.clientY) / area.height) * GRID;
      now = moved(from, corner, dx, dy, move.altKey ? null : others(index));
      paint(box, now);
    };
    target.onpointerup = target.onpointercancel = (end) => {
      target.onpointermove = target.onpointerup = target.onpointercancel = null;
      dragging = false;
      if (end.type === "pointercancel") paint(box, from);
      else if (now.join() !== from.join()) put(index, now);
      else if (later) show(...later); // after a move there is a newer verdict to come
      later = null;
    };
  }

  function keys(event, index) {
    const move = MOVES[event.key];
    if (!move || locked || people[index].ghost || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const corner = event.altKey ? CORNERS.se : null; // Alt: the size instead of the place
    put(index, moved(people[index].box, corner, move[0] * step, move[1] * step));
  }

  function boxOf(person, index) {
    const name = person.name || person.id;
    const label = newElement("span", { className: "newbie-label", textContent: name });
    const handles = Object.entries(person.ghost ? {} : CORNERS).map(([where, corner]) => newElement("i", {
      className: `newbie-corner newbie-${where}`, onpointerdown: (event) => drag(event, index, corner),
    }));
    const look = { className: "newbie-box", role: "group", tabIndex: person.ghost ? -1 : 0 };
    const box = newElement("div", look, label, ...handles);
    box.classList.toggle("newbie-stated", person.stated);
    box.classList.toggle("newbie-ghost", Boolean(person.ghost));
    box.dataset.name = name;
    box.style.setProperty("--newbie-person", colour(index));
    box.onpointerdown = (event) => drag(event, index, null);
    box.onkeydown = (event) => keys(event, index);
    box.onfocus = () => choose(index);
    box.ondblclick = (event) => {
      event.stopPropagation();
      if (!locked && !person.ghost && people[index].stated) place(index, null);
    };
    paint(box, person.box);
    return box;
  }

  const show = (now, aspect, picture, isLocked) => {
    if (dragging) {
      later = [now, aspect, picture, isLocked];
      return;
    }
    const focused = [...stage.children].indexOf(stage.querySelector(":focus"));
    people = [...now];
    locked = isLocked;
    chosen = Math.min(chosen, Math.max(people.length - 1, 0));
    if (people[chosen]?.ghost) chosen = people.findIndex(({ ghost }) => !ghost);
    frame.style.setProperty("--newbie-aspect", aspect);
    stage.style.backgroundImage = picture ? `url(${JSON.stringify(picture)})` : "";
    element.classList.toggle("newbie-locked", Boolean(locked));
    stage.replaceChildren(...people.map(boxOf));
    choose(chosen);
    if (focused >= 0) stage.children[focused]?.focus({ preventScroll: true });
  };
  return { element, show, choose };
}

const colour = (index) => COLOURS[index % COLOURS.length];
