/**
 * The seats this browser holds. The tab has its own, so that two windows can play each other; the browser
 * remembers all of them, so that a closed tab can be resumed.
 *
 * @typedef {{color: "white" | "black", token: string, seat: string}} Seat
 */

const MONTH_MS = 30 * 24 * 3600 * 1000;
const SEATS = "chess.seats.";
const TAB = "sessionStorage";
const BROWSER = "localStorage";

/** @returns {Seat | null} this tab's seat in the game */
export function mine(id) {
  return read(TAB, SEATS + id);
}

/** @returns {Seat[]} the seats in the game that some tab of this browser took */
export function remembered(id) {
  return Object.values(read(BROWSER, SEATS + id)?.seats ?? {});
}

/** Sits down in this tab, and remembers it. */
export function take(id, { color, token, seat }) {
  const taken = { color, token, seat };
  write(TAB, SEATS + id, taken);
  const seats = { ...read(BROWSER, SEATS + id)?.seats, [color]: taken };
  write(BROWSER, SEATS + id, { at: Date.now(), seats });
}

/** Gets up: the token is not, or no longer, good. */
export function leave(id, color) {
  write(TAB, SEATS + id, null);
  const seats = { ...read(BROWSER, SEATS + id)?.seats };
  delete seats[color];
  write(BROWSER, SEATS + id, { at: Date.now(), seats });
}

/** Drops what is older than a month. */
export function forget_old() {
  for (const key of Object.keys(storage(BROWSER) ?? {})) {
    if (!key.startsWith(SEATS)) continue;
    const at = read(BROWSER, key)?.at ?? 0;
    if (Date.now() - at > MONTH_MS) write(BROWSER, key, null);
  }
}

/** What a person set once, such as the sound: kept for all games. */
export function setting(name, value) {
  if (value !== undefined) write(BROWSER, `chess.setting.${name}`, value);
  return read(BROWSER, `chess.setting.${name}`);
}

// Storage can be forbidden, full or hold something foreign. The page works without it while it is open.
const unstored = new Map();

function storage(kind) {
  try {
    return globalThis[kind];
  } catch {
    return null;
  }
}

function read(kind, key) {
  if (unstored.has(kind + key)) return unstored.get(kind + key);
  try {
    return JSON.parse(storage(kind).getItem(key));
  } catch {
    return null;
  }
}

function write(kind, key, value) {
  try {
    if (value === null) storage(kind).removeItem(key);
    else storage(kind).setItem(key, JSON.stringify(value));
    unstored.delete(kind + key);
  } catch {
    unstored.set(kind + key, value);
  }
}
