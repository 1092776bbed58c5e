/** The card that says how the game stands and offers what can be done now. */

import { other } from "/assets/position.js";
import { control, outcome, title, turn } from "/assets/words.js";

const part = (id) => document.getElementById(id);

/**
 * @param {object} view
 * @param {import("./seats.js").Seat | null} you
 * @param {import("./seats.js").Seat[]} resumable seats of this browser that this tab does not hold
 * @param {{join: () => void, resume: (seat: object) => void}} actions
 */
export function show(view, you, resumable, actions) {
  const color = you?.color ?? null;
  const { phase, result } = view;
  const offered = phase === "playing" && color !== null && view.draw_offer === other(color);
  const [headline, detail] = words(view, color, offered);
  write("headline", headline);
  write("detail", detail);
  document.title = `${result || phase === "playing" ? headline.replace(/\.$/, "") : "Waiting"} · Chess`;
  part("headline").closest(".now").classList.toggle("over", phase === "over");
  part("invite").hidden = phase !== "waiting" || color === null;
  part("offer").hidden = !offered;
  part("draw").hidden = phase !== "playing" || color === null || offered;
  part("draw").disabled = view.draw_offer !== null;
  part("resign").hidden = phase !== "playing" || color === null;
  part("again").hidden = phase !== "over";
  show_seats(view, color, phase === "over" ? [] : resumable, actions);
}

function words(view, color, offered) {
  const clock = control(view.clock);
  if (view.result) {
    const { headline, detail } = outcome(view.result);
    return [headline, detail];
  }
  if (view.phase === "waiting") {
    if (color) return ["Waiting for your opponent", `${clock}, you play ${title(color)}. The clock starts when they join.`];
    return ["Somebody waits for you", `${clock}, you would play ${title(free_seat(view))}. The clock starts when you join.`];
  }
  const facts = [clock];
  if (color === null) facts.push("you are watching");
  if (view.watchers > (color ? 0 : 1)) facts.push(`${view.watchers} watching`);
  if (color && view.draw_offer === color) facts.push("you offered a draw");
  else if (view.draw_offer && !offered) facts.push(`${title(view.draw_offer)} offered a draw`);
  return [offered ? `${title(view.draw_offer)} offers a draw` : turn(view, color), facts.join(" · ")];
}

function show_seats(view, color, resumable, { join, resume }) {
  const buttons = [];
  if (color === null) {
    if (view.phase === "waiting") buttons.push(["join", `Join as ${title(free_seat(view))}`, join]);
    for (const seat of resumable) buttons.push([`resume-${seat.color}`, `Resume as ${title(seat.color)}`, () => resume(seat)]);
  }
  const box = part("seats");
  box.hidden = buttons.length === 0;
  // Only when they change: a button must not be replaced under the finger or lose the focus.
  const key = buttons.map(([id]) => id).join(" ");
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(
    ...buttons.map(([id, text, action], place) => {
      const button = document.createElement("button");
      button.id = id;
      button.type = "button";
      button.textContent = text;
      if (place === 0) button.className = "primary";
      button.addEventListener("click", action);
      return button;
    }),
  );
}

function free_seat(view) {
  return view.seats.white.taken ? "black" : "white";
}

function write(id, text) {
  if (part(id).textContent !== text) part(id).textContent = text;
}
