/** Questions that must be answered before something happens. */

import { draw } from "/assets/piece.js";
import { NAMES } from "/assets/position.js";

/** What a pawn becomes. @param {"white" | "black"} color @returns {Promise<string | null>} "q", ... or null: take back */
export async function ask_promotion(color) {
  const choices = [..."qrbn"].map((kind) => {
    const button = document.createElement("button");
    button.value = kind;
    button.setAttribute("aria-label", NAMES[kind]);
    button.append(draw(color === "white" ? kind.toUpperCase() : kind));
    return button;
  });
  document.getElementById("choices").replaceChildren(...choices);
  return (await answer(document.getElementById("promotion"))) || null;
}

/** @param {{title: string, detail: string, yes: string}} question @returns {Promise<boolean>} */
export async function confirmed({ title, detail, yes }) {
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-detail").textContent = detail;
  document.getElementById("confirm-yes").textContent = yes;
  return (await answer(document.getElementById("confirm"))) === "yes";
}

/** Ends the question that was asked before, if it has no answer yet. */
let give_up = () => {};

/**
 * Closing it in any other way, such as by Escape, means no. Browsers tell of that late: not before they draw again,
 * when another question may be open.
 */
function answer(dialog) {
  give_up();
  const over = new AbortController();
  const { signal } = over;
  dialog.showModal();
  return new Promise((done) => {
    const end = (value) => {
      over.abort();
      dialog.close();
      done(value);
    };
    give_up = () => signal.aborted || end("");
    dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      end(event.submitter?.value ?? "");
    }, { signal });
    dialog.addEventListener("cancel", () => end(""), { signal });
    dialog.addEventListener("close", () => dialog.open || end(""), { signal });
  });
}
