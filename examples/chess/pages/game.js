/**
 * The game page. It loads the state once and then follows it by one long poll for everything: the game, its chat, and
 * the own seat, which says "I am here".
 */

import { Refused, call, insist } from "/assets/api.js";
import { Board } from "/assets/board.js";
import { Chat } from "/assets/chat.js";
import { Clocks } from "/assets/clocks.js";
import { ask_promotion, confirmed } from "/assets/dialogs.js";
import { poll } from "/assets/longpoll.js";
import * as panel from "/assets/panel.js";
import { Players } from "/assets/players.js";
import { play, read } from "/assets/position.js";
import { Record } from "/assets/record.js";
import { leave, mine, remembered, take } from "/assets/seats.js";
import * as sound from "/assets/sound.js";
import { last_move, outcome, title } from "/assets/words.js";

const part = (name) => document.getElementById(name);
const id = location.pathname.split("/").pop();
const path = `/api/games/${id}`;

let you = mine(id);
let view = null;
/** A move that is shown and not yet confirmed: `ply` moves were made before it. */
let pending = null;
let round = new AbortController();

const clocks = new Clocks();
const players = new Players(clocks);
const record = new Record();
const board = new Board(part("board"), ask_for_move);
const chat = new Chat(id, () => ({ color: you?.color ?? null, token: you?.token ?? null }));

// ---- following ----

async function live() {
  for (;;) {
    round = new AbortController();
    try {
      const state = await load();
      chat.restart(state.chat);
      // A gap, another seat or a server that began anew: what it says now holds, whatever was known.
      accept(state.view, { holds: true });
      await follow(state.cursor, round.signal);
    } catch (failure) {
      if (failure instanceof Refused && failure.status === 404) return show_missing();
      console.error(failure);
      link_state("reconnecting");
      await new Promise((done) => setTimeout(done, 3_000));
    }
  }
}

/** Until something was missed or the round is over. */
async function follow(cursor, signal) {
  const channels = [`game.${id}`, `chat.${id}`];
  if (you) channels.push(`seat.${you.seat}`);
  for await (const event of poll("/events", { channels, cursor, signal, onstate: link_state })) {
    if (event.gap) return;
    if (event.channel === `game.${id}`) accept(event.data.view);
    else if (event.channel === `chat.${id}`) chat.add(event.data);
  }
}

/** The state as the server has it, however long that takes. */
async function load() {
  for (;;) {
    const token = you?.token;
    try {
      const state = await insist(path, { token }, () => link_state("reconnecting"));
      if (!token || state.you) return state;
    } catch (failure) {
      if (!token || ![401, 403].includes(failure.status)) throw failure;
    }
    leave(id, you.color); // The server does not know this token.
    you = null;
  }
}

/**
 * Takes a view unless it is known already. `anew`: also if it is known, since it was just read. `holds`: whatever its
 * version.
 */
function accept(next, { anew = false, holds = false } = {}) {
  const newer = view === null || next.version > view.version;
  if (!newer && !holds && !(anew && next.version === view.version)) return;
  const before = view;
  view = next;
  const confirmed_ply = pending && view.moves.length > pending.ply ? pending.ply : null;
  if (confirmed_ply !== null) pending = null;
  clocks.set(view.clock);
  if (pending) clocks.press(you.color);
  render();
  if (before) tell(before, confirmed_ply);
}

// ---- showing ----

function render(still = false) {
  const uci = view.moves.map((move) => move.uci);
  const sans = view.moves.map((move) => move.san);
  let position = read(view.fen);
  if (pending) {
    position = play(position, pending.move).position;
    uci.push(pending.move);
    sans.push("…");
  }
  const last = uci.at(-1);
  const yours = you && view.phase === "playing" && view.turn === you.color && !pending;
  board.show({
    position,
    legal: yours ? view.legal : {},
    last: last ? { from: last.slice(0, 2), to: last.slice(2, 4) } : null,
    check: view.check && !pending ? king_of(position, view.turn) : null,
    still: still || part("board").dataset.ready === undefined,
  });
  part("board").dataset.ready = "";
  part("board").dataset.version = view.version;
  players.show(view, you?.color ?? null, board.side, uci, position);
  record.show(sans);
  const resumable = you ? [] : remembered(id);
  panel.show(view, you, resumable, { join, resume: sit });
}

/** Says aloud and by sound what changed, however that became known. */
function tell(before, confirmed_ply) {
  const made = view.moves.length > before.moves.length;
  const words = [];
  if (made) words.push(last_move(view));
  const ended = view.result && !before.result;
  if (before.phase === "waiting" && view.phase === "playing") words.push("Both players are here. White's clock runs.");
  if (view.draw_offer && !before.draw_offer) words.push(`${title(view.draw_offer)} offers a draw.`);
  if (before.draw_offer && !view.draw_offer && !made && !ended) words.push("The draw was declined.");
  if (ended) words.push(outcome(view.result).detail);
  if (words.length) part("announcer").textContent = words.join(" ");
  if (made || ended) say("");
  if (ended) sound.blip("end");
  else if (made && view.check) sound.blip("check");
  else if (made && confirmed_ply !== view.moves.length - 1) sound.blip("move");
}

/** A short remark that does not get in the way. */
function say(text) {
  part("quiet").textContent = text;
}

function link_state(state) {
  const element = part("link-state");
  element.dataset.state = state;
  element.textContent = { connected: "live", reconnecting: "reconnecting" }[state] ?? state;
}

function king_of(position, color) {
  const king = color === "white" ? "K" : "k";
  return [...position].find(([, piece]) => piece === king)?.[0] ?? null;
}

function show_missing() {
  document.title = "No such game · Chess";
  part("headline").textContent = "There is no game here";
  part("detail").textContent = "Perhaps the link lost a letter on its way, or the game was put away long ago.";
  part("again").hidden = false;
  link_state("gone");
}

// ---- doing ----

async function ask_for_move(from, to) {
  const ply = view.moves.length;
  const promotes = view.promotions.includes(from + to);
  const piece = promotes ? await ask_promotion(you.color) : "";
  if (piece === null) return render(true);
  if (view.moves.length !== ply || pending || view.result) return render(); // It took too long: the game went on.
  await make(from + to + piece, ply);
}

/** Shows the move at once, and takes it back if the server refuses it. */
async function make(move, ply) {
  const mine = (pending = { move, ply });
  const { captured } = play(read(view.fen), move);
  say("");
  clocks.press(you.color);
  render();
  sound.blip(captured ? "capture" : "move");
  try {
    // Asking again is safe: the server makes the move of a ply once.
    await insist(`${path}/moves`, { method: "POST", body: { move, ply }, token: you.token }, () =>
      say("Your move waits for the connection."),
    );
    say("");
  } catch (refused) {
    const state = await load();
    if (pending === mine) pending = null;
    accept(state.view, { anew: true });
    // Refused may also mean that an earlier attempt arrived and only its answer was lost.
    const arrived = view.moves[ply]?.uci === move;
    say(arrived ? "" : `Taken back: ${refused.message}`);
  }
}

async function join() {
  try {
    sit(await call(`${path}/join`, { method: "POST" }));
  } catch (failure) {
    say(failure.message);
  }
}

/** Takes a seat in this tab and follows the game from it. */
function sit(seat) {
  take(id, seat);
  you = mine(id);
  say("");
  board.turn(you.color);
  round.abort();
}

async function act(what, body) {
  say("");
  try {
    await call(`${path}/${what}`, { method: "POST", body, token: you.token });
  } catch (failure) {
    say(failure.message);
  }
}

part("draw").addEventListener("click", async () => {
  const question = { title: "Offer a draw?", detail: "Your opponent may accept or play on.", yes: "Offer draw" };
  if (await confirmed(question)) await act("draw", { action: "offer" });
});
part("resign").addEventListener("click", async () => {
  const question = { title: "Resign this game?", detail: "Your opponent wins at once.", yes: "Resign" };
  if (await confirmed(question)) await act("resign");
});
part("accept").addEventListener("click", () => act("draw", { action: "accept" }));
part("decline").addEventListener("click", () => act("draw", { action: "decline" }));
part("flip").addEventListener("click", () => {
  board.turn(board.side === "white" ? "black" : "white");
  if (view) render(true);
});
part("sound").setAttribute("aria-pressed", String(sound.is_on()));
part("sound").addEventListener("click", () => part("sound").setAttribute("aria-pressed", String(sound.toggle())));

part("share").value = location.href;
part("share").addEventListener("focus", () => part("share").select());
part("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    // Not on every address may a page write there. Then the old way, which needs a selection.
    part("share").select();
    if (!document.execCommand("copy")) return;
  }
  part("copy").textContent = "Copied";
  part("announcer").textContent = "Link copied.";
});

// A computer that slept did not count the clocks on.
document.addEventListener("visibilitychange", async () => {
  if (document.hidden || !view) return;
  const state = await call(path, { token: you?.token }).catch(() => null);
  if (state) accept(state.view, { anew: true });
});

setInterval(() => players.tick(), 100);
if (you) board.turn(you.color);
void live();
