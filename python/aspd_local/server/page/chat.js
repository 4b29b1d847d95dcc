// The conversation: turns, the runs that answer them, and what a reader can do with an answer.
import { isOver, newAnswer, openBlock, takeChunk, textOf } from "./answer.js";
import { keepChat } from "./chats.js";
import { copyText } from "./clipboard.js";
import { make } from "./dom.js";
import { ask, isAway, stop } from "./request.js";
import { settings } from "./settings.js";
import { announcement, summary } from "./summary.js";
import { renderAnswer } from "./view.js";

const DRAW_EVERY_MS = 60; // the browser may share two cores with the engine
const REST = 4; // times as long as drawing takes, at least, nothing is drawn
const ABORT_AFTER_MS = 3000; // how long a stopped answer may take to end by itself
const SHARED = "Both share the machine while they are written, so neither shows how fast it is alone.";
const LOOK_AGAIN_MS = 1000; // whether the model is still being loaded
const TITLE_LENGTH = 60;
const COPIED_MS = 1600; // how long a button says so
const NEAR_PX = 80; // a reader this near to the bottom is taken along

/** A run: one answer being written in one mode, "parallel" or "serial". */
function newRun(number, mode) {
  return {
    number,
    mode,
    answer: newAnswer(),
    started: performance.now(),
    clock: 0, // seconds from the request to now, or to the end
    aborter: new AbortController(),
    stopping: false,
    loading: false, // whether the model is being brought into memory
    stoppedBranches: new Set(),
    copied: false,
  };
}

export class Chat {
  #log;
  #announce;
  #changed;
  #turns = [];
  #runs = 0;
  #timer = null;
  #rest = DRAW_EVERY_MS; // until it is drawn again
  #editing = null; // the turn whose question is asked anew
  #edit;
  #id = null; // of the chat, once there is something to keep
  #title = "";

  /**
   * `announce(text)` speaks to screen readers; `changed(run)` is told when a run has begun or is over; `edit(question)`
   * lets the reader change a question, which the next ask() puts in its place.
   */
  constructor(log, announce, changed, edit) {
    this.#edit = edit;
    this.#log = log;
    this.#announce = announce;
    this.#changed = changed;
    log.addEventListener("click", (event) => this.#act(event.target.closest("[data-action]")));
  }

  get isBusy() {
    return this.#running().length > 0;
  }

  get lastQuestion() {
    return this.#turns.at(-1)?.question ?? "";
  }

  /** The id under which the chat is kept; null where nothing was said yet. */
  get id() {
    return this.#id;
  }

  /** Asks in each of `modes` at the same time. Where a question is being edited, it and what followed it go. */
  ask(question, modes) {
    if (this.#editing) this.#cut(this.#turns.indexOf(this.#editing));
    this.#editing = null;
    this.#id ??= newId();
    this.#title ||= question.trim().replace(/\s+/g, " ").slice(0, TITLE_LENGTH);
    const turn = this.#append(question, modes.map((mode) => newRun((this.#runs += 1), mode)));
    turn.runs.forEach((run) => this.#write(turn, run));
    this.#draw(turn);
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** Shows a chat that was kept. */
  open({ id, title, turns }) {
    this.clear();
    this.#id = id;
    this.#title = title;
    for (const { question, runs } of turns) {
      const again = runs.map((run) => ({ ...newRun((this.#runs += 1), run.mode), answer: run.answer, clock: run.clock }));
      this.#append(question, again);
    }
    this.#turns.forEach((turn) => this.#draw(turn));
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  rename(title) {
    this.#title = title;
  }

  /** Leaves a question that was being edited as it is. True if there was one. */
  leaveEditing() {
    const turn = this.#editing;
    turn?.element.removeAttribute("data-editing");
    this.#editing = null;
    return turn !== null;
  }

  #append(question, runs) {
    const turn = { question, runs };
    const answers = runs.map((run) => make("article", { class: "answer", "data-run": run.number }));
    const edit = make("button", { type: "button", "data-action": "edit", "data-testid": "edit" }, "Edit");
    turn.element = make(
      "section",
      { class: "turn", "data-compare": runs.length > 1 },
      make("div", { class: "asked" }, make("h2", { class: "question", "data-testid": "asked" }, question), edit),
      make("div", { class: "answers" }, ...answers),
      runs.length > 1 ? make("p", { class: "note" }, SHARED) : null,
    );
    const before = this.#turns.at(-1);
    this.#turns.push(turn);
    if (before) this.#draw(before);
    this.#log.append(turn.element);
    return turn;
  }

  /** Removes the turns from the n-th on. */
  #cut(n) {
    this.#turns.splice(n).forEach((turn) => turn.element.remove());
  }

  /** Keeps what is over; what is being written is kept when it is. */
  async #keep() {
    const turns = this.#turns
      .filter(({ runs }) => runs.every((run) => isOver(run.answer)))
      .map(({ question, runs }) => ({ question, runs: runs.map(({ mode, answer, clock }) => ({ mode, answer, clock })) }));
    if (this.#id && turns.length) await keepChat({ id: this.#id, title: this.#title, changed: Date.now(), turns });
  }

  /** Stops all that is being written. */
  stop() {
    this.#running().forEach((run) => this.#stop(run));
  }

  clear() {
    this.stop();
    this.#cut(0);
    this.#editing = this.#id = null;
    this.#title = "";
  }

  #running() {
    return this.#turns.flatMap((turn) => turn.runs).filter((run) => !isOver(run.answer));
  }

  async #write(turn, run) {
    const { answer, aborter, mode } = run;
    const say = (text) => this.#announce(turn.runs.length > 1 ? `${mode}: ${text}` : text);
    this.#tick();
    this.#changed(run);
    this.#watchLoading(run);
    try {
      for await (const chunk of ask(this.#messages(turn), mode, settings, aborter.signal)) {
        const isFirst = answer.lastTime === null && chunk.aspd?.events?.length > 0;
        const open = openBlock(answer)?.id;
        takeChunk(answer, chunk);
        if (chunk.aspd?.events?.some(({ type }) => type === "unfork")) run.stoppedBranches.clear(); // names come again
        const said = announcement(chunk, isFirst, open);
        if (said) say(said);
      }
      if (!isOver(answer)) throw new Error("The connection ended before the answer did.");
    } catch (error) {
      aborter.abort();
      if (run.stopping) answer.finish = "cancelled";
      else answer.error = error.message;
    }
    run.clock = answer.timings?.total_s ?? elapsed(run);
    if (!this.#turns.includes(turn)) {
      this.#changed(run); // another chat is shown
      return;
    }
    this.#draw(turn);
    this.#keep();
    say(answer.error ?? `Done. ${summary(answer, mode, run.clock, turn.runs.length > 1)}`);
    this.#changed(run);
  }

  async #watchLoading(run) {
    const { answer } = run;
    const waits = () => answer.lastTime === null && !isOver(answer);
    while (waits() && (run.loading = await isAway(settings.model, settings.key))) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** The conversation up to this turn, as plain text. A turn that has no answer is left out. */
  #messages(turn) {
    const messages = settings.system ? [{ role: "system", content: settings.system }] : [];
    for (const { question, runs } of this.#turns.slice(0, this.#turns.indexOf(turn))) {
      const content = runs.map((run) => textOf(run.answer)).find(Boolean);
      if (content) messages.push({ role: "user", content: question }, { role: "assistant", content });
    }
    return [...messages, { role: "user", content: turn.question }];
  }

  #stop(run) {
    if (run.stopping) return;
    run.stopping = true;
    if (!run.answer.id) run.aborter.abort();
    else stop(run.answer.id, null, settings.key);
    setTimeout(() => isOver(run.answer) || run.aborter.abort(), ABORT_AFTER_MS);
  }

  async #act(button) {
    if (!button) return;
    if (button.dataset.action === "edit") {
      this.#beginEditing(this.#turns.find(({ element }) => element.contains(button)));
      return;
    }
    if (button.dataset.action === "copy-code") {
      await this.#copyCode(button);
      return;
    }
    const number = Number(button.closest("[data-run]").dataset.run);
    const turn = this.#turns.find(({ runs }) => runs.some((run) => run.number === number));
    const run = turn.runs.find((known) => known.number === number);
    const actions = {
      stop: () => this.#stop(run),
      "stop-branch": () => this.#stopBranch(run, button.closest("[data-branch]").dataset.branch),
      retry: () => this.#retry(turn, run),
      copy: () => this.#copy(turn, run),
    };
    await actions[button.dataset.action]();
    this.#draw(turn);
  }

  #beginEditing(turn) {
    if (this.isBusy) return;
    this.leaveEditing();
    this.#editing = turn;
    turn.element.setAttribute("data-editing", "");
    this.#edit(turn.question);
  }

  #stopBranch(run, branch) {
    if (run.stoppedBranches.has(branch)) return;
    run.stoppedBranches.add(branch);
    stop(run.answer.id, branch, settings.key);
  }

  #retry(turn, run) {
    Object.assign(run, newRun(run.number, run.mode));
    this.#write(turn, run);
  }

  async #copy(turn, run) {
    run.copied = await this.#copyText(textOf(run.answer));
    setTimeout(() => {
      run.copied = false;
      this.#draw(turn);
    }, COPIED_MS);
  }

  /** The button is not drawn from a state: where its answer is drawn anew it says "Copy" again. */
  async #copyCode(button) {
    if (!(await this.#copyText(button.closest(".code").querySelector("code").textContent))) return;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  }

  async #copyText(text) {
    const copied = await copyText(text);
    this.#announce(copied ? "Copied." : "This browser does not let the page copy.");
    return copied;
  }

  #tick() {
    this.#timer ??= setTimeout(() => {
      const running = this.#turns.filter((turn) => turn.runs.some((run) => !isOver(run.answer)));
      const began = performance.now();
      running.forEach((turn) => this.#draw(turn));
      this.#rest = Math.max(DRAW_EVERY_MS, REST * (performance.now() - began));
      this.#timer = null;
      if (running.length) this.#tick();
    }, this.#rest);
  }

  #draw(turn) {
    const log = this.#log;
    const answers = [...turn.element.querySelectorAll(".answer")];
    const stacked = answers[0].offsetTop !== answers.at(-1).offsetTop; // the first one is watched then
    const follow = !stacked && log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
    for (const run of turn.runs) if (!isOver(run.answer)) run.clock = elapsed(run);
    const shown = {
      compared: turn.runs.length > 1,
      last: turn === this.#turns.at(-1),
      longest: Math.max(0.5, ...turn.runs.map((run) => run.clock)),
    };
    turn.runs.forEach((run, n) => renderAnswer(answers[n], run, shown));
    if (follow) log.scrollTop = log.scrollHeight;
  }
}

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");

const elapsed = (run) => (performance.now() - run.started) / 1000;
