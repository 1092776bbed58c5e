/** The chat. What others write only ever becomes text, never markup. */

import { call } from "/assets/api.js";
import { blip } from "/assets/sound.js";
import { title } from "/assets/words.js";

const MOST_SHOWN = 500;

export class Chat {
  #list = document.getElementById("said");
  #form = document.getElementById("say");
  #text = document.getElementById("text");
  #refusal = document.getElementById("unsaid");
  #you = () => null;

  /** @param {string} id the game @param {() => {color: string | null, token: string | null}} you */
  constructor(id, you) {
    this.#you = you;
    this.#form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (!text) return;
      this.#text.value = "";
      this.#refusal.textContent = "";
      try {
        // Not repeated when it fails: said twice is worse than asked again.
        await call(`/api/games/${id}/chat`, { method: "POST", body: { text }, token: you().token });
      } catch (failure) {
        this.#refusal.textContent = `Not sent. ${failure.message}`;
        this.#text.value ||= text;
      }
    });
  }

  /** Begins anew with what the server holds. */
  restart(messages) {
    this.#list.replaceChildren();
    for (const message of messages) this.#append(message);
  }

  add(message) {
    this.#append(message);
    if (message.from !== (this.#you().color ?? "watcher")) blip("chat");
  }

  #append({ from, text, at }) {
    const list = this.#list;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    const item = document.createElement("li");
    const [who, time] = [document.createElement("b"), document.createElement("time")];
    who.textContent = from === "watcher" ? "Watcher" : title(from);
    const when = new Date(at);
    time.dateTime = when.toISOString();
    time.textContent = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    item.classList.toggle("own", from === this.#you().color);
    item.append(who, " ", time, document.createElement("br"), text);
    list.append(item);
    if (list.children.length > MOST_SHOWN) list.firstChild.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }
}
