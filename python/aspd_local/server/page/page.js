// Wires the page: composer, keys, header, settings dialog.
import { Chat } from "./chat.js";
import { keptChat } from "./chats.js";
import { Library } from "./library.js";
import { health, models } from "./request.js";
import { bindSettings, offerModels, settings } from "./settings.js";
import { bindTheme } from "./theme.js";

const LOOK_AGAIN_MS = 2000;
const MOST_ATTACHED = 256 * 1024; // bytes
const STATES = { ready: "ready", loading: "loading", away: "not reachable", locked: "asks for a key" };

const at = (id) => document.getElementById(id);
const announce = (text) => (at("announcer").textContent = text);
const chat = new Chat(at("log"), announce, (run) => {
  for (const id of ["send", "compare"]) at(id).setAttribute("aria-disabled", chat.isBusy);
  if (run.answer.error !== null) look();
  if (chat.id) history.replaceState(null, "", `#${chat.id}`); // a reload shows the chat again
}, edit);

const library = new Library(at("chat-list"), {
  open: (kept) => {
    at("chats").close();
    show(kept);
  },
  gone: (id) => id === chat.id && begin(),
  renamed: ({ id, title }) => id === chat.id && chat.rename(title),
});

function show(kept) {
  chat.open(kept);
  at("welcome").hidden = true;
  history.replaceState(null, "", `#${kept.id}`);
}

/** A new, empty chat. */
function begin() {
  chat.clear();
  history.replaceState(null, "", location.pathname + location.search);
  at("welcome").hidden = false;
}

function edit(question) {
  at("question").value = question;
  at("question").focus();
  announce("The question can be changed. Escape leaves it as it is.");
}

/** Puts a text file into the question, where it can be read and changed. */
async function attach(file) {
  const input = at("question");
  const text = file.size > MOST_ATTACHED ? null : await file.text();
  if (text === null || text.includes("\0")) {
    const why = text === null ? "The file is too long: 256 KiB are the most." : "The file is not a text.";
    announce(why);
    at("keys").textContent = why;
    return;
  }
  const fence = "`".repeat(1 + Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length)));
  input.value += `${input.value && "\n\n"}${file.name}:\n${fence}\n${text.replace(/\n$/, "")}\n${fence}\n`;
  input.focus();
}

function ask(question, modes) {
  if (chat.isBusy) {
    announce("An answer is being written. Escape stops it.");
    return;
  }
  at("welcome").hidden = true;
  chat.ask(question, modes);
}

function askTyped(modes) {
  const input = at("question");
  const question = input.value.trim();
  if (question && !chat.isBusy) input.value = "";
  if (question) ask(question, modes);
  input.focus();
}

let looking = false;

/** Waits until the server is ready, then offers its models. */
async function look() {
  if (looking) return;
  looking = true;
  let state = await health();
  for (; state === "loading" || state === "away"; state = await health()) {
    showState(state);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
  looking = false;
  await models(settings.key).then(
    (served) => offerModels(at("model"), served),
    (refused) => (state = refused.status === 401 ? "locked" : "away"),
  );
  showState(state);
}

function showState(state) {
  at("state").dataset.state = state;
  at("state").textContent = STATES[state];
}

bindTheme(at("theme"));
bindSettings(at("settings-form"));
look();
keptChat(location.hash.slice(1)).then((kept) => kept && show(kept));

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  askTyped(["parallel"]);
});
at("compare").addEventListener("click", () => askTyped(["parallel", "serial"]));
at("welcome").addEventListener("click", ({ target }) => {
  if (target.matches("button")) ask(target.textContent, ["parallel"]);
});
at("new-chat").addEventListener("click", () => {
  begin();
  at("question").focus();
});
at("chats-open").addEventListener("click", async () => {
  await library.draw();
  at("chats").showModal();
});
at("chats-close").addEventListener("click", () => at("chats").close());
at("attach").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", async ({ target }) => {
  if (target.files.length) await attach(target.files[0]);
  target.value = "";
});
at("settings-open").addEventListener("click", () => at("settings").showModal());
at("settings-close").addEventListener("click", () => at("settings").close());
at("settings").addEventListener("close", look); // another key, another model

at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    askTyped(["parallel"]);
  }
  if (event.key === "ArrowUp" && event.target.value === "") {
    event.preventDefault();
    event.target.value = chat.lastQuestion;
  }
});
document.addEventListener("keydown", (event) => {
  if (at("settings").open || at("chats").open || event.isComposing) return;
  if (event.key === "Escape") {
    if (chat.leaveEditing()) at("question").value = "";
    chat.stop();
  }
  if (event.key === "/" && !event.target.matches("input, select, textarea")) {
    event.preventDefault();
    at("question").focus();
  }
});
