import { call } from "/assets/api.js";
import { forget_old, take } from "/assets/seats.js";

const form = document.getElementById("create");
const custom = document.getElementById("custom");
const refusal = document.getElementById("refusal");
const button = form.querySelector("button");

forget_old();

// A browser that goes back may restore the choice without an event.
const fit = () => { custom.hidden = form.elements.clock.value !== "custom"; };
addEventListener("pageshow", () => {
  fit();
  button.disabled = false;
});
form.addEventListener("change", fit);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  refusal.textContent = "";
  button.disabled = true;
  try {
    const game = await call("/api/games", { method: "POST", body: wish() });
    take(game.id, game);
    location.assign(`/game/${game.id}`);
  } catch (failure) {
    refusal.textContent = failure.message;
    button.disabled = false;
  }
});

function wish() {
  const { clock, colour } = form.elements;
  const [minutes, increment] = clock.value === "custom"
    ? [form.elements.minutes.value, form.elements.increment.value]
    : clock.value.split("+");
  return { minutes: Number(minutes), increment: Number(increment), color: colour.value };
}
