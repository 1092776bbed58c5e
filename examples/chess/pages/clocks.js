/**
 * Counts the clocks and the absences on from the last view. It never ends a game: that the time is up is for the
 * server to say.
 */

import { other } from "/assets/position.js";

export class Clocks {
  #clock = null;
  #at = 0;
  #seen = 0;

  /** Goes by this view from now on. @param {{white_ms: number, black_ms: number, running: "white" | "black" | null}} clock */
  set(clock) {
    this.#clock = clock;
    this.#at = this.#seen = performance.now();
  }

  /** Shows a move that is not confirmed yet: this side's clock stops, the other's runs. */
  press(color) {
    if (this.running !== color) return;
    const stopped = this.left(color) + this.#clock.increment_ms;
    this.#clock = { ...this.#clock, [`${color}_ms`]: stopped, running: other(color) };
    this.#at = performance.now();
  }

  /** Milliseconds since the view came: what it says is as old as that. */
  get age() {
    return performance.now() - this.#seen;
  }

  get running() {
    return this.#clock?.running ?? null;
  }

  /** What is left for a side, in milliseconds. @param {"white" | "black"} color */
  left(color) {
    if (!this.#clock) return 0;
    const then = this.#clock[`${color}_ms`];
    return color === this.running ? Math.max(0, then - (performance.now() - this.#at)) : then;
  }
}
