// Says in words what an answer does and did. Knows nothing of the page.
import { branchesOf, openBlock } from "./answer.js";

/** 0.04 s, 1.8 s, 12 s. */
export function seconds(value) {
  return `${value.toFixed(value < 0.095 ? 2 : value < 9.95 ? 1 : 0)} s`;
}

const ENDINGS = {
  length: " Cut off: the limit of tokens is reached.",
  loop: " Cut off: it repeated itself for ever.",
  cancelled: " Stopped.",
};

const counted = (n, noun, nouns = `${noun}s`) => `${n} ${n === 1 ? noun : nouns}`;

/** What the answer is doing, while it is written. `loading`: the model is not in memory yet. */
export function progress(answer, clock, loading) {
  const block = openBlock(answer);
  const growing = block?.branches.filter((branch) => branch.reason === null).length;
  if (growing) return `Writing ${counted(growing, "branch", "branches")} at once, ${seconds(clock)}`;
  if (block) return `Joining, ${seconds(clock)}`;
  const waiting = loading ? "Loading the model" : "Reading the question";
  return `${answer.lastTime === null ? waiting : "Writing"}, ${seconds(clock)}`;
}

/**
 * One line on a finished answer. `mode`: "parallel" or "serial", as it was asked for. `compared`: another one was
 * written beside it, in the same steps, which says nothing of how fast it would be alone.
 */
export function summary(answer, mode, clock, compared) {
  const { facts } = answer;
  if (answer.error !== null) return `Failed after ${seconds(clock)}.`;
  if (!facts) return `Stopped after ${seconds(clock)}.`;
  const speed = facts.tokens / (answer.timings?.decode_s || clock);
  const rate = speed ? `, ${speed.toFixed(speed < 10 ? 1 : 0)} tokens a second` : "";
  const work = `${counted(facts.tokens, "token")} in ${counted(facts.steps, "step")}, ${seconds(clock)}${rate}`;
  const ending = ENDINGS[facts.finish_detail ?? answer.finish] ?? "";
  const n = branchesOf(answer).length;
  if (!n) return `Serial (${whySerial(facts, mode)}): ${work}.${ending}`;
  const speedup = compared ? null : answer.timings?.speedup;
  const gain = speedup ? `, about ${speedup.toFixed(1)} times as fast as serial (an estimate)` : "";
  const later = facts.fallback ? ` Another plan was decoded serially: ${facts.fallback}.` : "";
  return `${counted(n, "branch", "branches")}, ${work}${gain}.${later}${ending}`;
}

function whySerial(facts, mode) {
  if (mode === "serial") return "as asked";
  if (facts.fallback) return facts.fallback;
  return facts.protocol === "serial" ? "this model does not fork" : "no branches were announced";
}

/**
 * What a screen reader is told of a chunk that was just folded in; "" for most.
 * `open`: the id of the block that was open before; undefined if none was.
 */
export function announcement(chunk, isFirst, open) {
  const said = isFirst ? ["Answer begins."] : [];
  for (const { type, block, titles } of chunk.aspd?.events ?? []) {
    if (type === "fork") {
      const branches = counted(titles.length, "branch", "branches");
      said.push(block === open ? `Now ${branches}.` : `Forked into ${branches}.`);
      open = block;
    }
    if (type === "unfork") said.push("Not forked after all.");
    if (type === "join") said.push("Branches joined.");
    if (type === "unfork" || type === "join") open = undefined;
  }
  return said.join(" ");
}
