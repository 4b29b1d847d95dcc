// Draws a small subset of Markdown with DOM nodes: text stays text, whatever it looks like.
import { make } from "./dom.js";

const FENCE = /^\s*(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+•]|(\d{1,3})[.)])(\s+)(?=\S)/;
const DEEPEST = 4; // lists in lists, emphasis in emphasis

// In turn: escaped character, code, link, bold, italic with stars, italic with underscores.
const INLINE = new RegExp(
  [
    /\\([!-/:-@[-`{-~])/,
    /(?<!`)(`+)(?!`)(.+?)(?<!`)\2(?!`)/,
    /!?\[([^\][\n]*)\]\(([^()\s]*)\)/,
    /\*\*(?=\S)((?:[^*]|\*(?!\*))+\*?)(?<=\S)\*\*(?!\*)/,
    /\*(?=[^\s*])([^*]+)(?<=\S)\*/,
    /(?<!\w)_(?=[^\s_])([^_]+)(?<=\S)_(?!\w)/,
  ].map((rule) => rule.source).join("|"),
  "gs",
);

/**
 * The nodes of a text.
 * `mark(node, at)` is told of every outermost block and list item and where in the text it begins.
 */
export function markdown(text, mark = () => {}) {
  let at = 0;
  const lines = text.split("\n").map((line) => {
    const begin = at;
    at += line.length + 1;
    return { text: line, at: begin };
  });
  return drawBlocks(lines, mark, 0);
}

function drawBlocks(lines, mark, depth) {
  const nodes = [];
  for (let n = 0; n < lines.length; ) {
    if (isBlank(lines[n])) {
      n += 1;
      continue;
    }
    const [draw, end] = blockAt(lines, n, depth);
    const node = draw(lines.slice(n, end), mark, depth);
    if (!node.matches("ol, ul")) mark(node, lines[n].at + indentOf(lines[n]));
    nodes.push(node);
    n = end;
  }
  return nodes;
}

const isBlank = (line) => line.text.trim() === "";
const indentOf = (line) => line.text.length - line.text.trimStart().length;
const isItem = (line, depth) => depth < DEEPEST && ITEM.test(line.text);
const isOrdered = (line) => ITEM.exec(line.text)[3] !== undefined;
const beginsBlock = (line, depth) =>
  [FENCE, HEADING, RULE].some((rule) => rule.test(line.text)) || isItem(line, depth);

/** How the block that begins at line n is drawn, and the line after it. */
function blockAt(lines, n, depth) {
  const { text } = lines[n];
  if (FENCE.test(text)) return [drawCode, endOfCode(lines, n)];
  if (HEADING.test(text)) return [drawHeading, n + 1];
  if (RULE.test(text)) return [() => make("hr"), n + 1];
  if (isItem(lines[n], depth)) return [drawList, endOfList(lines, n, depth)];
  let end = n + 1;
  while (end < lines.length && !isBlank(lines[end]) && !beginsBlock(lines[end], depth)) end += 1;
  return [drawParagraph, end];
}

function endOfCode(lines, n) {
  const fence = FENCE.exec(lines[n].text)[1];
  const closing = lines.findIndex((line, k) => k > n && line.text.trim().startsWith(fence));
  return closing < 0 ? lines.length : closing + 1;
}

/** A list goes on with items of its kind, with lines that are indented more, and with lines that follow without a gap. */
function endOfList(lines, n, depth) {
  const indent = indentOf(lines[n]);
  const ordered = isOrdered(lines[n]);
  let end = n + 1;
  for (let k = n + 1; k < lines.length; k += 1) {
    if (isBlank(lines[k])) continue;
    const inside = indentOf(lines[k]) >= indent + 2;
    const sibling = isItem(lines[k], depth) && isOrdered(lines[k]) === ordered;
    const lazy = k === end && !beginsBlock(lines[k], depth);
    if (!inside && !sibling && !lazy) break;
    end = k + 1;
  }
  return end;
}

function drawCode(lines) {
  const indent = indentOf(lines[0]);
  const fence = FENCE.exec(lines[0].text)[1];
  const closed = lines.length > 1 && lines.at(-1).text.trim().startsWith(fence);
  const code = lines.slice(1, closed ? -1 : undefined).map((line) => dedent(line, indent).text);
  return make("pre", { tabindex: "0" }, make("code", {}, code.join("\n")));
}

function drawHeading([line]) {
  const [, marks, text] = HEADING.exec(line.text);
  return make(`h${Math.min(6, marks.length + 2)}`, {}, ...drawInline(text));
}

function drawParagraph(lines) {
  return make("p", {}, ...drawInline(lines.map((line) => line.text.trim()).join("\n")));
}

function drawList(lines, mark, depth) {
  const indent = indentOf(lines[0]);
  const items = [];
  for (const line of lines) {
    const found = ITEM.exec(line.text);
    if (found && indentOf(line) < indent + 2) {
      const [marker, space, , number] = found;
      const node = make("li", { value: number ?? null });
      mark(node, line.at + space.length);
      items.push({ node, width: marker.length, lines: [{ text: line.text.slice(marker.length) }] });
    } else {
      items.at(-1).lines.push(dedent(line, items.at(-1).width));
    }
  }
  for (const item of items) item.node.append(...drawBlocks(item.lines, () => {}, depth + 1));
  return make(isOrdered(lines[0]) ? "ol" : "ul", {}, ...items.map((item) => item.node));
}

function dedent({ text }, most) {
  return { text: text.slice(Math.min(most, text.length - text.trimStart().length)) };
}

function drawInline(text, depth = 0) {
  if (depth === DEEPEST) return [text];
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, escaped, , code, label, address, bold, star, underscore] = match;
    if (match.index > at) nodes.push(text.slice(at, match.index));
    at = match.index + whole.length;
    if (escaped) nodes.push(escaped);
    else if (code) nodes.push(make("code", {}, code));
    else if (label !== undefined) nodes.push(label === address ? label : `${label} (${address})`);
    else nodes.push(make(bold ? "strong" : "em", {}, ...drawInline(bold ?? star ?? underscore, depth + 1)));
  }
  if (at < text.length) nodes.push(text.slice(at));
  return nodes;
}
