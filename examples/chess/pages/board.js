/**
 * The board: sixty-four cells of an ARIA grid. It shows what it is told and asks for moves by pointer (click and click,
 * or drag) and by keyboard (arrows, Enter or Space, Escape). It decides nothing.
 */

import { draw } from "/assets/piece.js";
import { FILES } from "/assets/position.js";
import { square as label } from "/assets/words.js";
import { Drag } from "/assets/drag.js";

const SLIDE_MS = 160;
const ARROWS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

export class Board {
  #grid;
  #onmove;
  /** @type {Map<string, HTMLElement>} */
  #cells = new Map();
  #shown = { position: new Map(), legal: {}, last: null, check: null };
  #side = "white";
  #picked = null;
  #focused = "e2";
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  /**
   * @param {HTMLElement} grid
   * @param {(from: string, to: string) => void} onmove called with moves that `legal` holds, and only those
   */
  constructor(grid, onmove) {
    this.#grid = grid;
    this.#onmove = onmove;
    this.#build();
    new Drag(grid, this);
    grid.addEventListener("keydown", (event) => this.#key(event));
    // Assistive technology activates without a pointer or a key.
    grid.addEventListener("click", (event) => {
      if (event.detail === 0) this.activate(this.square_of(event.target));
    });
    grid.addEventListener("focusin", (event) => this.#rove(this.square_of(event.target)));
  }

  get side() {
    return this.#side;
  }

  /** Turns the board so that this colour is below. */
  turn(side) {
    if (side === this.#side) return;
    this.#side = side;
    this.#focused = side === "white" ? "e2" : "e7";
    this.#build();
    this.show({ ...this.#shown, still: true });
  }

  /**
   * @param {object} what
   * @param {Map<string, string>} what.position
   * @param {Record<string, string[]>} what.legal moves that may be asked for now
   * @param {{from: string, to: string} | null} what.last
   * @param {string | null} what.check the square of a king in check
   * @param {boolean} [what.still] without moving pieces visibly
   */
  show({ position, legal, last, check, still = false }) {
    const before = this.#shown.position;
    this.#shown = { position, legal, last, check };
    const slides = still || this.#calm.matches ? [] : slides_between(before, position);
    const dropped = this.#dropped;
    this.#dropped = null;
    for (const [square, cell] of this.#cells) this.#paint(square, cell);
    for (const { from, to } of slides) if (to !== dropped) this.#slide(from, to);
    if (this.#picked && !(legal[this.#picked] && position.get(this.#picked) === before.get(this.#picked))) this.pick(null);
    else this.#mark();
  }

  /** The cell under an element, by its name; null outside. */
  square_of(element) {
    return element?.closest?.(".square")?.dataset.square ?? null;
  }

  cell(square) {
    return this.#cells.get(square);
  }

  can_move(square) {
    return square in this.#shown.legal;
  }

  get picked() {
    return this.#picked;
  }

  is_target(square) {
    return this.#picked !== null && (this.#shown.legal[this.#picked] ?? []).includes(square);
  }

  pick(square) {
    this.#picked = square;
    this.#mark();
  }

  /** What a click, Enter or Space on a cell does. */
  activate(square) {
    if (square === null) return;
    if (this.is_target(square)) this.#move(square);
    else if (square !== this.#picked && this.can_move(square)) this.pick(square);
    else this.pick(null);
  }

  /** The picked piece was dragged onto a cell: it is there already, nothing slides. */
  drop(square) {
    this.#dropped = square;
    this.#move(square);
  }

  #dropped = null;

  #move(to) {
    const from = this.#picked;
    this.pick(null);
    this.#onmove(from, to);
  }

  #build() {
    const had_focus = this.#grid.contains(document.activeElement);
    const white = this.#side === "white";
    const ranks = white ? [8, 7, 6, 5, 4, 3, 2, 1] : [1, 2, 3, 4, 5, 6, 7, 8];
    const files = white ? [...FILES] : [...FILES].reverse();
    this.#cells.clear();
    const rows = ranks.map((rank, down) => {
      const row = element("div", "rank", { role: "row" });
      files.forEach((file, right) => {
        const square = `${file}${rank}`;
        const shade = (FILES.indexOf(file) + rank) % 2 === 0 ? "light" : "dark";
        const cell = element("div", `square ${shade}`, { role: "gridcell", tabindex: "-1" });
        cell.dataset.square = square;
        if (right === 0) cell.append(element("span", "rank-name", { "aria-hidden": "true" }, String(rank)));
        if (down === 7) cell.append(element("span", "file-name", { "aria-hidden": "true" }, file));
        this.#cells.set(square, cell);
        row.append(cell);
      });
      return row;
    });
    this.#grid.replaceChildren(...rows);
    this.#rove(this.#focused);
    if (had_focus) this.#cells.get(this.#focused).focus();
  }

  #paint(square, cell) {
    const piece = this.#shown.position.get(square) ?? "";
    if (cell.dataset.piece !== piece) {
      cell.dataset.piece = piece;
      cell.querySelector(".piece")?.remove();
      if (piece) cell.append(draw(piece));
    }
    const { last, check, legal } = this.#shown;
    cell.classList.toggle("last", square === last?.from || square === last?.to);
    cell.classList.toggle("check", square === check);
    cell.classList.toggle("mine", square in legal);
    cell.setAttribute("aria-label", label(square, piece) + (square === check ? ", in check" : ""));
  }

  #mark() {
    const targets = new Set(this.#picked ? this.#shown.legal[this.#picked] : []);
    for (const [square, cell] of this.#cells) {
      cell.classList.toggle("picked", square === this.#picked);
      cell.classList.toggle("target", targets.has(square));
      cell.setAttribute("aria-selected", String(square === this.#picked));
      if (targets.has(square)) cell.setAttribute("aria-description", "legal move");
      else cell.removeAttribute("aria-description");
    }
  }

  #slide(from, to) {
    const piece = this.#cells.get(to).querySelector(".piece");
    const [start, end] = [from, to].map((square) => this.#cells.get(square).getBoundingClientRect());
    piece?.animate(
      [{ transform: `translate(${start.x - end.x}px, ${start.y - end.y}px)`, zIndex: 2 }, { transform: "none", zIndex: 2 }],
      { duration: SLIDE_MS, easing: "ease-out" },
    );
  }

  #rove(square) {
    if (square === null) return;
    this.#cells.get(this.#focused)?.setAttribute("tabindex", "-1");
    this.#cells.get(square).setAttribute("tabindex", "0");
    this.#focused = square;
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in ARROWS) {
      const turned = this.#side === "white" ? 1 : -1;
      const [right, up] = ARROWS[event.key].map((step) => step * turned);
      const file = FILES[FILES.indexOf(this.#focused[0]) + right];
      const next = this.#cells.get(`${file}${Number(this.#focused[1]) + up}`);
      next?.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      this.activate(this.#focused);
    } else if (event.key === "Escape" && this.#picked) {
      this.pick(null);
    } else {
      return;
    }
    event.preventDefault();
  }
}

/** Which piece may be seen going where: each cell that got a piece, from a cell that lost the same. */
function slides_between(before, after) {
  const left = [...before].filter(([square, piece]) => after.get(square) !== piece);
  const slides = [];
  for (const [to, piece] of after) {
    if (before.get(to) === piece) continue;
    const found = left.findIndex(([, gone]) => gone === piece);
    if (found >= 0) slides.push({ from: left.splice(found, 1)[0][0], to });
  }
  return slides;
}

function element(tag, classes, attributes, text) {
  const made = document.createElement(tag);
  made.className = classes;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}
