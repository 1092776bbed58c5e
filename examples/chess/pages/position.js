/**
 * Where the pieces stand. No rules: which moves are legal comes from the server. This only carries out a move that is
 * known to be legal, so that it can be shown before the server has answered.
 *
 * A position is a Map from a square ("e4") to a piece as in FEN: "P" a white pawn, "p" a black one.
 *
 * @typedef {Map<string, string>} Position
 */

export const FILES = "abcdefgh";
export const START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR";

const VALUES = { p: 1, n: 3, b: 3, r: 5, q: 9, k: 0 };
export const NAMES = { p: "pawn", n: "knight", b: "bishop", r: "rook", q: "queen", k: "king" };

/** @returns {"white" | "black"} */
export const color_of = (piece) => (piece === piece.toUpperCase() ? "white" : "black");
export const kind_of = (piece) => NAMES[piece.toLowerCase()];
export const other = (color) => (color === "white" ? "black" : "white");

/** @param {string} fen a whole FEN or its first field @returns {Position} */
export function read(fen) {
  const position = new Map();
  const ranks = fen.split(" ")[0].split("/");
  ranks.forEach((rank, row) => {
    let file = 0;
    for (const sign of rank) {
      if (/\d/.test(sign)) file += Number(sign);
      else position.set(`${FILES[file++]}${8 - row}`, sign);
    }
  });
  return position;
}

/**
 * Carries out a move as the server writes it: "e2e4", "a7a8q", castling as the king's two steps.
 * @param {Position} position
 * @param {string} move
 * @returns {{position: Position, piece: string, captured: string | null}}
 */
export function play(position, move) {
  const [from, to, promotion] = [move.slice(0, 2), move.slice(2, 4), move[4]];
  const after = new Map(position);
  const piece = position.get(from);
  let captured = position.get(to) ?? null;
  after.delete(from);
  after.set(to, promotion ? (color_of(piece) === "white" ? promotion.toUpperCase() : promotion) : piece);
  const kind = kind_of(piece);
  if (kind === "pawn" && from[0] !== to[0] && captured === null) {
    const beside = to[0] + from[1]; // En passant: the pawn that goes stands beside, not where the other arrives.
    captured = position.get(beside) ?? null;
    after.delete(beside);
  }
  const steps = FILES.indexOf(to[0]) - FILES.indexOf(from[0]);
  if (kind === "king" && Math.abs(steps) === 2) {
    const corner = (steps > 0 ? "h" : "a") + from[1];
    after.set((steps > 0 ? "f" : "d") + from[1], position.get(corner));
    after.delete(corner);
  }
  return { position: after, piece, captured };
}

/** What was captured in a game, the most valuable first. @param {string[]} moves @returns {string[]} */
export function captured_in(moves) {
  const gone = [];
  let position = read(START);
  for (const move of moves) {
    const played = play(position, move);
    position = played.position;
    if (played.captured) gone.push(played.captured);
  }
  return gone.sort((one, two) => value(two) - value(one) || one.localeCompare(two));
}

/** By how many pawns white is ahead. @param {Position} position */
export function balance(position) {
  let sum = 0;
  for (const piece of position.values()) sum += color_of(piece) === "white" ? value(piece) : -value(piece);
  return sum;
}

function value(piece) {
  return VALUES[piece.toLowerCase()];
}
