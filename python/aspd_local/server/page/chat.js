// The conversation: turns, the runs that answer them, and what a reader can do with an answer.
import { isOver, newAnswer, openBlock, takeChunk, textOf } from "./answer.js";
import { copyText } from "./clipboard.js";
import { make } from "./dom.js";
import { ask, stop } from "./request.js";
import { settings } from "./settings.js";
import { announcement, summary } from "./summary.js";
import { renderAnswer } from "./view.js";

const DRAW_EVERY_MS = 60; // the browser may share two cores with the engine
const ABORT_AFTER_MS = 3000; // how long a stopped answer may take to end by itself
const SHARED = "Both share the machine while they are written, so neither shows how fast it is alone.";
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

  /** `announce(text)` speaks to screen readers; `changed(run)` is told when a run has begun or is over. */
  constructor(log, announce, changed) {
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

  /** Asks in each of `modes` at the same time. */
  ask(question, modes) {
    const turn = { question, runs: modes.map((mode) => newRun((this.#runs += 1), mode)) };
    const answers = turn.runs.map((run) => make("article", { class: "answer", "data-run": run.number }));
    turn.element = make(
      "section",
      { class: "turn", "data-compare": modes.length > 1 },
      make("h2", { class: "question", "data-testid": "asked" }, question),
      make("div", { class: "answers" }, ...answers),
      modes.length > 1 ? make("p", { class: "note" }, SHARED) : null,
    );
    const before = this.#turns.at(-1);
    this.#turns.push(turn);
    if (before) this.#draw(before);
    this.#log.append(turn.element);
    turn.runs.forEach((run) => this.#write(turn, run));
    this.#draw(turn);
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** Stops all that is being written. */
  stop() {
    this.#running().forEach((run) => this.#stop(run));
  }

  clear() {
    this.stop();
    this.#turns.forEach((turn) => turn.element.remove());
    this.#turns = [];
  }

  #running() {
    return this.#turns.flatMap((turn) => turn.runs).filter((run) => !isOver(run.answer));
  }

  async #write(turn, run) {
    const { answer, aborter, mode } = run;
    const say = (text) => this.#announce(turn.runs.length > 1 ? `${mode}: ${text}` : text);
    this.#tick();
    this.#changed(run);
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
    this.#draw(turn);
    say(answer.error ?? `Done. ${summary(answer, mode, run.clock, turn.runs.length > 1)}`);
    this.#changed(run);
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
    run.copied = await copyText(textOf(run.answer));
    this.#announce(run.copied ? "Copied." : "This browser does not let the page copy.");
    setTimeout(() => {
      run.copied = false;
      this.#draw(turn);
    }, 1600);
  }

  #tick() {
    this.#timer ??= setInterval(() => {
      const running = this.#turns.filter((turn) => turn.runs.some((run) => !isOver(run.answer)));
      running.forEach((turn) => this.#draw(turn));
      if (running.length) return;
      clearInterval(this.#timer);
      this.#timer = null;
    }, DRAW_EVERY_MS);
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

const elapsed = (run) => (performance.now() - run.started) / 1000;
