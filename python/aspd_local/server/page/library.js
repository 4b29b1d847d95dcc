// The list of chats that were kept: opened, renamed, exported, deleted.
import { textOf } from "./answer.js";
import { forgetChat, keepChat, keptChat, keptChats } from "./chats.js";
import { make } from "./dom.js";

/** Fills `list` and answers its buttons. `open(chat)` shows one; `gone(id)` and `renamed(chat)` tell what was done. */
export class Library {
  #list;
  #actions;

  constructor(list, { open, gone, renamed }) {
    this.#list = list;
    this.#actions = {
      open,
      export: (chat) => download(`${fileName(chat.title)}.md`, asMarkdown(chat)),
      delete: async ({ id }, button) => {
        if (button.dataset.sure === undefined) {
          button.dataset.sure = "";
          button.textContent = "Really delete";
          return;
        }
        await forgetChat(id);
        gone(id);
        await this.draw();
      },
    };
    list.addEventListener("click", async ({ target }) => {
      const button = target.closest("[data-do]");
      const chat = button && (await keptChat(button.closest("[data-chat]").dataset.chat));
      if (chat) await this.#actions[button.dataset.do](chat, button);
    });
    list.addEventListener("change", async ({ target }) => {
      const chat = await keptChat(target.closest("[data-chat]").dataset.chat);
      if (!chat || !target.value.trim()) return;
      chat.title = target.value.trim();
      await keepChat(chat);
      renamed(chat);
    });
  }

  async draw() {
    const chats = await keptChats();
    const rows = chats.map(({ id, title, changed }) => {
      const name = make("input", { "aria-label": "Title", maxlength: "200" });
      name.value = title;
      const row = make("li", { "data-chat": id }, name);
      row.append(make("time", {}, new Date(changed).toLocaleString()));
      for (const [what, label] of [["open", "Open"], ["export", "Export"], ["delete", "Delete"]]) {
        row.append(make("button", { type: "button", "data-do": what, "aria-label": `${label}: ${title}` }, label));
      }
      return row;
    });
    this.#list.replaceChildren(...(rows.length ? rows : [make("li", { class: "note" }, "No chat was kept yet.")]));
  }
}

/** A chat as a text for people. */
export function asMarkdown({ title, turns }) {
  const told = turns.map(({ question, runs }) => {
    const answers = runs.map(({ mode, answer }) => (runs.length > 1 ? `### ${mode}\n\n` : "") + textOf(answer).trim());
    return `## ${question.trim()}\n\n${answers.join("\n\n")}`;
  });
  return `# ${title}\n\n${told.join("\n\n")}\n`;
}

const fileName = (title) => title.replace(/[^\p{L}\p{N} _-]+/gu, "").trim().slice(0, 60) || "chat";

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
