/** The list of moves. */

export class Record {
  #list = document.getElementById("moves");
  #shown = [];

  /** @param {string[]} sans */
  show(sans) {
    const same = this.#shown.findIndex((san, at) => san !== sans[at]);
    const keep = same === -1 ? this.#shown.length : same;
    if (keep === this.#shown.length && sans.length === keep) return;
    // From the first move that differs; usually one is added.
    const first_line = Math.floor(keep / 2);
    while (this.#list.children.length > first_line) this.#list.lastChild.remove();
    this.#list.querySelector(".latest")?.classList.remove("latest");
    for (let at = first_line * 2; at < sans.length; at += 2) {
      const line = document.createElement("li");
      line.append(cell("number", `${at / 2 + 1}.`), cell("move", sans[at]));
      if (sans[at + 1]) line.append(cell("move", sans[at + 1]));
      this.#list.append(line);
    }
    this.#list.lastChild?.lastChild.classList.add("latest");
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#shown = [...sans];
  }
}

function cell(kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  return made;
}
