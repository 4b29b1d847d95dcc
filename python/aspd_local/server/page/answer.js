// The state of one answer, folded from its events. Knows nothing of the page and of the server.

/** An answer of which nothing has come yet. `parts`: trunk stretches and blocks, in reading order. */
export function newAnswer() {
  return {
    id: null,
    parts: [],
    trunkLength: 0, // code points, as offsets are
    lastTime: null, // seconds from the request to the last event
    finish: null, // "stop", "length" or "cancelled"
    error: null,
    facts: null, // of the last chunk: tokens, steps, fallback, protocol
    timings: null,
  };
}

/** Folds one chunk of the stream in. Throws if its events do not fit those before. */
export function takeChunk(answer, chunk) {
  if (chunk.error) {
    answer.error = chunk.error.message;
    return;
  }
  answer.id ??= chunk.id;
  for (const event of chunk.aspd?.events ?? []) takeEvent(answer, event);
  const finish = chunk.choices?.[0]?.finish_reason;
  if (!finish) return;
  answer.finish = finish;
  answer.timings = chunk.timings ?? null;
  answer.facts = chunk.aspd ?? null;
}

/** Folds one event in. Kinds that this page does not know are passed over. */
export function takeEvent(answer, event) {
  answer.lastTime = event.t;
  if (event.type === "text") takeText(answer, event);
  if (event.type === "fork") takeFork(answer, event);
  if (event.type === "unfork") takeUnfork(answer, event);
  if (event.type === "end") Object.assign(branchOf(answer, event.branch), { reason: event.reason, end: event.t });
  if (event.type === "join") blockOf(answer, event.block).joined = event.t;
}

function takeText(answer, { branch, offset, text, t }) {
  const target = branch === null ? openTrunk(answer, t) : branchOf(answer, branch);
  const length = branch === null ? answer.trunkLength : target.length;
  if (offset !== length) throw new Error(`The answer has a gap: text for ${offset} came at ${length}.`);
  target.begin ??= t;
  if (branch === null) target.last = t;
  target.text += text;
  const added = [...text].length;
  if (branch === null) answer.trunkLength += added;
  else target.length += added;
}

/** Opens a block or, where it is open already, adds the branches that are new. */
function takeFork(answer, { block: id, titles, offset, t }) {
  let block = answer.parts.find((part) => part.id === id);
  if (!block) {
    const moved = takeFromTrunk(answer, answer.trunkLength - offset);
    block = { id, branches: [], forked: t, joined: null };
    answer.parts.push(block);
    block.branches.push(newBranch(id, titles[0], 0));
    if (moved) Object.assign(block.branches[0], { text: moved, length: [...moved].length, begin: t });
  }
  for (let n = block.branches.length; n < titles.length; n += 1) block.branches.push(newBranch(id, titles[n], n));
}

/** The block goes, and what its first branch has said is the trunk's. */
function takeUnfork(answer, { block: id, t }) {
  const [{ text, length, begin }] = blockOf(answer, id).branches;
  answer.parts = answer.parts.filter((part) => part.id !== id);
  if (!length) return;
  const trunk = openTrunk(answer, begin);
  trunk.text += text;
  trunk.last = t;
  answer.trunkLength += length;
}

/** The last code points of the trunk, which are its no longer. Its last stretch stays, even if it is empty now. */
function takeFromTrunk(answer, count) {
  if (count === 0) return "";
  const trunk = answer.parts.at(-1);
  const points = trunk && !trunk.branches ? [...trunk.text] : [];
  if (count < 0 || count > points.length) throw new Error(`A block cannot begin ${count} characters back.`);
  trunk.text = points.slice(0, -count).join("");
  answer.trunkLength -= count;
  return points.slice(-count).join("");
}

function newBranch(block, title, n) {
  return {
    id: `${block}.${n + 1}`,
    title: plainTitle(title),
    hue: n % 8,
    text: "",
    length: 0,
    begin: null,
    end: null,
    reason: null,
  };
}

function openTrunk(answer, t) {
  if (!answer.parts.length || answer.parts.at(-1).branches) {
    answer.parts.push({ text: "", begin: t, last: t });
  }
  return answer.parts.at(-1);
}

function branchOf(answer, id) {
  const branch = branchesOf(answer).find((known) => known.id === id);
  if (!branch) throw new Error(`The answer has no branch ${id}.`);
  return branch;
}

function blockOf(answer, id) {
  const block = blocksOf(answer).find((known) => known.id === id);
  if (!block) throw new Error(`The answer has no block ${id}.`);
  return block;
}

/** A title without the list marks, stars and colon that it may have as the beginning of its branch's text. */
export function plainTitle(title) {
  return title.trim().replace(/^(#+|[-*+•]|\d+[.)])\s+/, "").replace(/\*\*|__|`/g, "").replace(/[\s:]+$/, "");
}

export const blocksOf = (answer) => answer.parts.filter((part) => part.branches);

export const branchesOf = (answer) => blocksOf(answer).flatMap((block) => block.branches);

export const isOver = (answer) => answer.finish !== null || answer.error !== null;

/** The block whose branches are growing now, if there is one. */
export const openBlock = (answer) =>
  isOver(answer) ? undefined : blocksOf(answer).find((block) => block.joined === null);

/** The text in reading order. */
export const textOf = (answer) =>
  answer.parts.flatMap((part) => part.branches ?? [part]).map((stretch) => stretch.text).join("");

/**
 * What is to be shown: stretches of text, in which joined blocks are folded, and blocks that are still open.
 * A stretch: { text, origins: [{ branch, begin, end }] }, half open, in UTF-16 units of its text.
 */
export function stretchesOf(answer) {
  const open = openBlock(answer);
  const shown = [];
  for (const part of answer.parts) {
    if (part === open) {
      shown.push({ block: part });
      continue;
    }
    if (!part.branches && !part.text) continue; // all of it has become a branch
    if (!shown.length || shown.at(-1).block) shown.push({ text: "", origins: [] });
    const stretch = shown.at(-1);
    for (const piece of part.branches ?? [part]) {
      const begin = stretch.text.length;
      stretch.text += piece.text;
      if (part.branches) stretch.origins.push({ branch: piece, begin, end: stretch.text.length });
    }
  }
  return shown;
}
