// Draws an answer: its text, its open block in columns, what it is doing, its time axis.
import { isOver, stretchesOf, textOf } from "./answer.js";
import { make, morph } from "./dom.js";
import { markdown } from "./markdown.js";
import { progress, seconds, summary } from "./summary.js";
import { timeline } from "./timeline.js";

const ENDINGS = { stop: "done", length: "cut off", cancelled: "stopped", rejected: "written anew" };
const NAMES = { parallel: "Parallel", serial: "Serial" };

/**
 * Brings `element` up to what `run` is now.
 * `shown`: { compared: one of two side by side, last: has a time axis and may be tried again, longest: seconds }.
 */
export function renderAnswer(element, run, shown) {
  const columns = new Map(
    [...element.querySelectorAll("[data-branch]")].map((column) => [
      column.dataset.branch,
      column.getBoundingClientRect(),
    ]),
  );
  const focused = element.contains(document.activeElement);
  morph(element, drawAnswer(run, shown));
  if (focused && !element.contains(document.activeElement)) element.querySelector(".bar button")?.focus();
  fold(element, columns);
}

/** Moves the text of branches that were just joined from its column to its place. */
function fold(element, columns) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const [id, from] of columns) {
    if (element.querySelector(`[data-branch="${id}"]`)) continue;
    for (const node of element.querySelectorAll(`[data-from="${id}"]`)) {
      const to = node.getBoundingClientRect();
      const move = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
      node.animate([{ transform: move, opacity: 0.2 }, { transform: "none", opacity: 1 }], {
        duration: 320,
        easing: "cubic-bezier(0.2, 0.8, 0.2, 1)",
      });
    }
  }
}

function drawAnswer(run, { compared, last, longest }) {
  const { answer, mode, clock, stoppedBranches } = run;
  return make(
    "article",
    {
      class: "answer",
      "data-run": run.number,
      "data-mode": mode,
      "aria-label": compared ? `${NAMES[mode]} answer` : "Answer",
      "aria-busy": String(!isOver(answer)),
    },
    compared ? drawHead(run) : null,
    make(
      "div",
      { class: "body" },
      ...stretchesOf(answer).map((stretch) => drawStretch(stretch, stoppedBranches)),
      answer.error === null ? null : make("p", { class: "error", "data-testid": "error" }, answer.error),
    ),
    drawBar(run, { compared, last }),
    last ? timeline(answer, clock, longest) : null,
  );
}

function drawHead({ answer, mode, clock }) {
  const speed = (answer.facts?.tokens ?? 0) / clock; // of the text: plans and markers do not count
  return make(
    "header",
    { class: "head" },
    make("h3", {}, NAMES[mode]),
    make("span", { class: "clock", "data-testid": "clock" }, seconds(clock)),
    make("span", { class: "speed" }, speed ? `${speed.toFixed(speed < 10 ? 1 : 0)} tokens of text a second` : ""),
  );
}

function drawStretch({ block, text, origins }, stoppedBranches) {
  if (block) return drawBlock(block, stoppedBranches);
  const mark = (node, at) => {
    const origin = origins.find(({ begin, end }) => begin <= at && at < end);
    if (!origin) return;
    node.setAttribute("data-from", origin.branch.id);
    node.setAttribute("data-hue", origin.branch.hue);
  };
  return make("div", { class: "text" }, ...markdown(text, mark));
}

function drawBlock({ id, branches }, stoppedBranches) {
  return make(
    "div",
    {
      class: "block",
      "data-block": id,
      "data-wide": branches.length > 2,
      role: "group",
      tabindex: "0",
      "aria-label": `${branches.length} branches, written at once`,
    },
    ...branches.map((branch, n) => drawBranch(branch, n, stoppedBranches.has(branch.id))),
  );
}

function drawBranch(branch, n, stopping) {
  const { id, title, hue, reason, text } = branch;
  const name = `Branch ${n + 1}: ${title}`;
  return make(
    "section",
    { class: "branch", "data-branch": id, "data-hue": hue, "data-ended": reason !== null, "aria-label": name },
    make(
      "header",
      {},
      make("h4", {}, title),
      reason === null
        ? drawButton("stop-branch", stopping ? "Stopping" : "Stop", {
            "aria-label": `Stop this branch, ${title}`,
            title: "Stop this branch",
            "aria-disabled": stopping && "true",
          })
        : make("span", { class: "ending" }, ENDINGS[reason]),
    ),
    make("div", { class: "text" }, ...markdown(text)),
  );
}

function drawBar({ answer, mode, clock, stopping, copied, loading }, { compared, last }) {
  const over = isOver(answer);
  const said = over ? summary(answer, mode, clock, compared) : progress(answer, clock, loading);
  return make(
    "footer",
    { class: "bar" },
    make("p", { class: "summary", "data-testid": "summary" }, said),
    over ? null : drawButton("stop", stopping ? "Stopping" : "Stop", { "aria-disabled": stopping && "true" }),
    over && last ? drawButton("retry", answer.error === null ? "Regenerate" : "Try again") : null,
    over && textOf(answer) ? drawButton("copy", copied ? "Copied" : "Copy") : null,
  );
}

function drawButton(action, label, more = {}) {
  return make("button", { type: "button", "data-testid": action, "data-action": action, ...more }, label);
}
