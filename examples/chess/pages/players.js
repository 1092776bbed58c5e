/** The two bars beside the board: who, whether there, what was captured, how much time. */

import { draw } from "/assets/piece.js";
import { balance, captured_in, color_of, other } from "/assets/position.js";
import { captured, clock as clock_text, presence, title } from "/assets/words.js";

const LOW_MS = 20_000;

export class Players {
  #bars = { upper: document.getElementById("upper"), lower: document.getElementById("lower") };
  #clocks;
  #view = null;
  #side = "white";
  #spoils = null;

  /** @param {import("./clocks.js").Clocks} clocks */
  constructor(clocks) {
    this.#clocks = clocks;
  }

  /** @param {object} view @param {"white" | "black" | null} you @param {"white" | "black"} side whose side is below */
  show(view, you, side, moves, position) {
    this.#view = view;
    this.#side = side;
    const spoils = JSON.stringify([side, moves]);
    for (const color of ["white", "black"]) {
      const bar = this.#bar(color);
      bar.dataset.color = color;
      bar.setAttribute("aria-label", title(color));
      bar.querySelector(".name").textContent = title(color) + (color === you ? " (you)" : "");
      bar.querySelector(".clock").setAttribute("aria-label", `${title(color)}'s clock`);
      if (spoils !== this.#spoils) this.#show_spoils(bar, color, moves, position);
    }
    this.#spoils = spoils;
    this.tick();
  }

  /** What changes by itself as time goes by. */
  tick() {
    if (!this.#view) return;
    for (const color of ["white", "black"]) {
      const bar = this.#bar(color);
      const seat = this.#view.seats[color];
      const left = this.#clocks.left(color);
      bar.classList.toggle("there", seat.taken && seat.here);
      write(bar.querySelector(".presence"), presence(seat, seat.left_ms + this.#clocks.age));
      const clock = bar.querySelector(".clock");
      write(clock, clock_text(left));
      clock.classList.toggle("running", this.#clocks.running === color);
      clock.classList.toggle("low", left < LOW_MS && this.#view.phase === "playing");
    }
  }

  #bar(color) {
    return color === this.#side ? this.#bars.lower : this.#bars.upper;
  }

  #show_spoils(bar, color, moves, position) {
    const taken = captured_in(moves).filter((piece) => color_of(piece) === other(color));
    const ahead = balance(position) * (color === "white" ? 1 : -1);
    const drawn = taken.map((piece, at) => {
      const svg = draw(piece);
      svg.classList.add("off-board");
      if (at > 0 && taken[at - 1] !== piece) svg.classList.add("next");
      return svg;
    });
    bar.querySelector(".taken").replaceChildren(...drawn);
    bar.querySelector(".ahead").textContent = ahead > 0 ? `+${ahead}` : "";
    bar.querySelector(".in-words").textContent = taken.length ? captured(taken) : "";
  }
}

/** Text is only touched when it changes: ten times a second it does not. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
