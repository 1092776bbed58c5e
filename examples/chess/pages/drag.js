/** Pointers on the board, mouse, pen and touch alike: a click picks and moves, a drag carries the piece. */

/** Nobody holds a finger quite still: what moves less than this is a click. */
const SLACK_PX = 6;

export class Drag {
  #board;
  #grid;
  /** @type {{id: number, x: number, y: number, square: string, picked_now: boolean, piece: SVGElement | null, moving: boolean} | null} */
  #down = null;

  /** @param {HTMLElement} grid @param {import("./board.js").Board} board */
  constructor(grid, board) {
    this.#grid = grid;
    this.#board = board;
    grid.addEventListener("pointerdown", (event) => this.#press(event));
    grid.addEventListener("pointermove", (event) => this.#carry(event));
    grid.addEventListener("pointerup", (event) => this.#release(event));
    grid.addEventListener("pointercancel", () => this.#put_back());
    grid.addEventListener("lostpointercapture", () => this.#put_back());
  }

  #press(event) {
    if (this.#down || event.button !== 0 || !event.isPrimary) return;
    const square = this.#board.square_of(event.target);
    if (!square) return;
    const board = this.#board;
    const picked_now = board.can_move(square) && board.picked !== square && !board.is_target(square);
    if (picked_now) board.pick(square);
    const piece = board.picked === square ? board.cell(square).querySelector(".piece") : null;
    this.#down = { id: event.pointerId, x: event.clientX, y: event.clientY, square, picked_now, piece, moving: false };
    this.#grid.setPointerCapture(event.pointerId);
  }

  #carry(event) {
    const down = this.#down;
    if (event.pointerId !== down?.id || !down.piece) return;
    const [right, below] = [event.clientX - down.x, event.clientY - down.y];
    if (!down.moving && Math.hypot(right, below) < SLACK_PX) return;
    if (!down.moving) {
      down.moving = true;
      down.piece.classList.add("carried");
    }
    // From the middle of the cell, so that the piece hangs under the pointer wherever it was gripped.
    const cell = this.#board.cell(down.square).getBoundingClientRect();
    const x = event.clientX - cell.x - cell.width / 2;
    const y = event.clientY - cell.y - cell.height / 2;
    down.piece.style.transform = `translate(${x}px, ${y}px) scale(1.15)`;
    this.#hover(this.#under(event));
  }

  #release(event) {
    const down = this.#down;
    if (event.pointerId !== down?.id) return;
    const square = this.#under(event);
    this.#put_back();
    if (down.moving) {
      if (square && this.#board.is_target(square)) this.#board.drop(square);
      else if (square !== down.square) this.#board.pick(null);
    } else if (!down.picked_now && square === down.square) {
      this.#board.activate(square);
    }
  }

  #put_back() {
    const piece = this.#down?.piece;
    this.#down = null;
    this.#hover(null);
    piece?.classList.remove("carried");
    piece?.style.removeProperty("transform");
  }

  #under(event) {
    const found = document.elementFromPoint(event.clientX, event.clientY);
    return this.#grid.contains(found) ? this.#board.square_of(found) : null;
  }

  #hover(square) {
    for (const cell of this.#grid.querySelectorAll(".over")) cell.classList.remove("over");
    if (square && this.#board.is_target(square)) this.#board.cell(square).classList.add("over");
  }
}
