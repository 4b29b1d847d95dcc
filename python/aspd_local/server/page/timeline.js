// Draws the time axis of an answer: a table whose cells hold bars, so that it can be read as well as seen.
import { isOver } from "./answer.js";
import { make } from "./dom.js";
import { seconds } from "./summary.js";

const HEADINGS = [["part", "Part"], ["track", "When, in seconds from the request"], ["took", "Took"]];

/**
 * The rows of the axis: { name, hue, spans: [[begin, end], ...] }, in seconds from the request.
 * `now`: where bars end that still grow.
 */
export function rowsOf(answer, now) {
  const { timings, parts } = answer;
  const queued = timings?.queue_s ?? 0;
  const heard = parts.length ? (parts[0].begin ?? parts[0].forked) : now;
  const read = timings?.prompt_s === undefined ? heard : queued + timings.prompt_s;
  const trunk = { name: "Trunk", hue: null, spans: [] };
  const branches = [];
  let begin = read;
  parts.forEach((part, n) => {
    if (part.branches) {
      if (n === 0 || parts[n - 1].branches) trunk.spans.push([begin, part.forked]);
      begin = part.joined ?? now;
      branches.push(...part.branches.map((branch) => branchRow(branch, part.joined ?? now)));
    } else {
      const next = parts[n + 1];
      trunk.spans.push([begin, next ? next.forked : isOver(answer) ? part.last : now]);
    }
  });
  return [{ name: "Prompt", hue: null, spans: [[queued, read]] }, trunk, ...branches];
}

function branchRow(branch, now) {
  const spans = branch.begin === null ? [] : [[branch.begin, branch.end ?? now]];
  return { name: `${branch.id} ${branch.title}`, hue: branch.hue, spans };
}

/** The axis as a figure. `longest`: seconds that its full width stands for. */
export function timeline(answer, now, longest) {
  const place = (time) => `${((100 * Math.min(time, longest)) / longest).toFixed(2)}%`;
  const bar = ([begin, end]) =>
    make("rect", { x: place(begin), width: place(Math.max(0, end - begin)), y: "0", height: "100%", rx: "2" });
  const row = ({ name, hue, spans }) =>
    make(
      "tr",
      { "data-hue": hue },
      make("th", { scope: "row", class: "part", title: name }, name),
      make(
        "td",
        { class: "track" },
        make("svg", { "aria-hidden": "true" }, ...spans.map(bar)),
        make("span", { class: "unseen" }, spans.map(said).join(", ")),
      ),
      make("td", { class: "took" }, seconds(spans.reduce((sum, [begin, end]) => sum + end - begin, 0))),
    );
  return make(
    "figure",
    { class: "timeline", "data-testid": "timeline" },
    make(
      "table",
      {},
      make("caption", { class: "unseen" }, "Time axis"),
      make("thead", {}, make("tr", {}, ...HEADINGS.map(([kind, name]) => heading(kind, name)))),
      make("tbody", {}, ...rowsOf(answer, now).map(row)),
      make(
        "tfoot",
        { "aria-hidden": "true" },
        make("tr", {}, make("td"), make("td", { class: "scale" }, ...["0", seconds(longest)].map(mark))),
      ),
    ),
  );
}

const mark = (text) => make("span", {}, text);

const heading = (kind, name) => make("th", { scope: "col", class: kind }, make("span", { class: "unseen" }, name));

const said = ([begin, end]) => `${begin.toFixed(1)} to ${end.toFixed(1)}`;
