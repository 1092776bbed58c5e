/** What the page says in sentences. */

import { START, color_of, kind_of, play, read } from "/assets/position.js";

export const title = (color) => (color === "white" ? "White" : "Black");

/** "e4, white pawn" or "e5, empty": the name of a square for those who do not see it. */
export function square(name, piece) {
  return piece ? `${name}, ${color_of(piece)} ${kind_of(piece)}` : `${name}, empty`;
}

/** The last move of a game as a sentence. @param {{moves: {uci: string, san: string}[], check: boolean}} view */
export function last_move(view) {
  const moves = view.moves.map((move) => move.uci);
  const last = moves.pop();
  let position = read(START);
  for (const move of moves) position = play(position, move).position;
  const { piece, captured } = play(position, last);
  const [from, to, promotion] = [last.slice(0, 2), last.slice(2, 4), last[4]];
  const who = title(color_of(piece));
  const kind = kind_of(piece);
  const words = kind === "king" && from[0] === "e" && "gc".includes(to[0])
    ? [`${who} castles ${to[0] === "g" ? "king's side" : "queen's side"}`]
    : [`${who}: ${kind} ${from} ${captured ? `takes ${kind_of(captured)} on` : "to"} ${to}`];
  if (promotion) words.push(`promotes to ${kind_of(promotion)}`);
  if (view.check && view.result === null) words.push("check");
  return `${words.join(", ")}.`;
}

/** @param {{winner: "white" | "black" | null, reason: string}} result */
export function outcome({ winner, reason }) {
  const how = {
    checkmate: "by checkmate",
    time: "on time",
    resignation: "by resignation",
  };
  const why = {
    stalemate: "Stalemate",
    time: "Time is up, with too little to mate",
    "draw agreed": "By agreement",
    "insufficient material": "Too little left to mate with",
    "threefold repetition": "The same position for the third time",
    "fifty moves": "Fifty moves without a capture or a pawn move",
  };
  return winner
    ? { headline: `${title(winner)} wins`, detail: `${title(winner)} wins ${how[reason] ?? `by ${reason}`}.` }
    : { headline: "Draw", detail: `${why[reason] ?? reason}.` };
}

/** Whose turn it is, seen from `you` (null: a watcher). */
export function turn(view, you) {
  const check = view.check ? " Check!" : "";
  if (you === view.turn) return `Your move.${check}`;
  if (you) return `${title(view.turn)} is thinking.${check}`;
  return `${title(view.turn)} to move.${check}`;
}

/** Whether somebody is there. `away_ms` counts on since the view came. */
export function presence(seat, away_ms) {
  if (!seat.taken) return "seat is free";
  if (seat.here) return "is here";
  return `left ${ago(away_ms)}`;
}

/** "captured: queen, 2 pawns" @param {string[]} pieces sorted */
export function captured(pieces) {
  const counts = new Map();
  for (const piece of pieces) counts.set(kind_of(piece), (counts.get(kind_of(piece)) ?? 0) + 1);
  return `captured: ${[...counts].map(([kind, count]) => (count > 1 ? `${count} ${kind}s` : kind)).join(", ")}`;
}

export function ago(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

/** "4:07", below twenty seconds "17.3", from an hour on "1:02:03". Never rounds up: no second is shown that is gone. */
export function clock(ms) {
  const left = Math.max(0, ms);
  if (left < 20_000) return (Math.floor(left / 100) / 10).toFixed(1);
  const seconds = Math.floor(left / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** "5+3" @param {{initial_ms: number, increment_ms: number}} clock */
export function control({ initial_ms, increment_ms }) {
  return `${Number((initial_ms / 60_000).toFixed(2))}+${increment_ms / 1000}`;
}
