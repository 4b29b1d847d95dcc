// Wires the page: composer, keys, header, settings dialog.
import { Chat } from "./chat.js";
import { health, models } from "./request.js";
import { bindSettings, offerModels, settings } from "./settings.js";
import { bindTheme } from "./theme.js";

const LOOK_AGAIN_MS = 2000;
const STATES = { ready: "ready", loading: "loading", away: "not reachable", locked: "asks for a key" };

const at = (id) => document.getElementById(id);
const announce = (text) => (at("announcer").textContent = text);
const chat = new Chat(at("log"), announce, (run) => {
  for (const id of ["send", "compare"]) at(id).setAttribute("aria-disabled", chat.isBusy);
  if (run.answer.error !== null) look();
});

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
  at("state").textContent = [settings.model, STATES[state]].filter(Boolean).join(", ");
}

bindTheme(at("theme"));
bindSettings(at("settings-form"));
look();

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  askTyped(["parallel"]);
});
at("compare").addEventListener("click", () => askTyped(["parallel", "serial"]));
at("welcome").addEventListener("click", ({ target }) => {
  if (target.matches("button")) ask(target.textContent, ["parallel"]);
});
at("new-chat").addEventListener("click", () => {
  chat.clear();
  at("welcome").hidden = false;
  at("question").focus();
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
  if (at("settings").open || event.isComposing) return;
  if (event.key === "Escape") chat.stop();
  if (event.key === "/" && !event.target.matches("input, select, textarea")) {
    event.preventDefault();
    at("question").focus();
  }
});
