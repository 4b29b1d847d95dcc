// Draws Markdown, code and formulas as DOM nodes. What a model writes never becomes a script, a style or a request.
// Knows nothing of answers. CommonMark but for what models write otherwise: see PARSER.
import hljs from "./vendor/@highlightjs/cdn-assets/es/highlight.min.js";
import { tasklist } from "./vendor/@mdit/plugin-tasklist/dist/index.js";
import { tex } from "./vendor/@mdit/plugin-tex/dist/index.js";
import MarkdownIt from "./vendor/markdown-it/dist/browser/markdown-it.esm.min.mjs";
import "./vendor/dompurify/dist/purify.min.js"; // this one and the next make a global
import "./vendor/katex/dist/katex.min.js";
import { make } from "./dom.js";

const { DOMPurify, katex } = globalThis;

const MOST_KEPT = 2000; // drawn blocks
const SAFE_ADDRESS = /^(https?:\/\/|mailto:)/i;
const KATEX = { output: "mathml", strict: "ignore", maxSize: 40 }; // MathML needs neither style attributes nor fonts
// Before and after the name of a function, as in n log n: browsers leave no space there, TeX does.
const AROUND_NAMES = /(?<=<\/m(?!o>)\w+>)(?=<mi[^>]*>[^<]+<\/mi><mo>\u2061)|(?<=<mo>\u2061<\/mo>)(?=<m(?!o))/g;
const CLEAN = {
  RETURN_DOM_FRAGMENT: true,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_TAGS: [
    ..."a blockquote br code em h3 h4 h5 h6 hr input li ol p pre s span strong table tbody td th thead tr ul".split(" "),
    ..."annotation math menclose mfrac mi mlabeledtr mmultiscripts mn mo mover mpadded mphantom mprescripts".split(" "),
    ..."mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics".split(" "),
  ],
  ALLOWED_ATTR: [
    ..."checked class disabled href rel start target title type value".split(" "),
    ..."accent accentunder columnalign columnlines columnspacing columnspan depth display displaystyle".split(" "),
    ..."encoding fence height largeop linebreak linethickness lspace mathbackground mathcolor mathsize".split(" "),
    ..."mathvariant maxsize minsize movablelimits notation rowlines rowspacing rspace scriptlevel separator".split(" "),
    ..."side stretchy symmetric voffset width".split(" "),
  ],
};

const PARSER = makeParser();
const drawn = new Map(); // blocks as they were drawn, by what they were drawn from
const growing = new Set(); // keys of last blocks: they go when what grew from them is drawn

/**
 * The nodes of a text.
 * `mark(node, at)` is told of every outermost block and list item and where in the text it begins.
 */
export function markdown(text, mark = () => {}) {
  const references = {};
  const tokens = PARSER.parse(text, { references });
  const lines = linesOf(text);
  const names = Object.entries(references).flatMap(([name, { href }]) => [name, href]);
  return blocksOf(tokens).map((block, n, { length }) => {
    const [begin, end] = block[0].map;
    const source = lines.slice(begin, end).map((line) => line.text);
    const key = [...names, block[0].type, ...source].join("\n");
    if (!drawn.has(key)) keep(key, drawBlock(block, { references }), n === length - 1);
    const node = drawn.get(key).cloneNode(true);
    const items = block.filter(({ type, level }) => type === "list_item_open" && level === 1);
    const marked = items.length ? items.map((item, n) => [node.children[n], item]) : [[node, block[0]]];
    for (const [element, token] of marked) mark(element, lines[token.map[0]].at);
    return node;
  });
}

function keep(key, node, isLast) {
  for (const old of isLast ? [...growing].filter((old) => key.startsWith(old)) : []) {
    growing.delete(old);
    drawn.delete(old);
  }
  if (drawn.size >= MOST_KEPT) {
    drawn.clear();
    growing.clear();
  }
  if (isLast) growing.add(key);
  drawn.set(key, node);
}

/** The lines of a text: { text, at: where what stands in it begins }. They end as Markdown has it. */
function linesOf(text) {
  let at = 0;
  return text.split(/(\r\n?|\n)/).flatMap((part, n) => {
    const begin = at;
    at += part.length;
    return n % 2 ? [] : [{ text: part, at: begin + part.length - part.trimStart().length }];
  });
}

/** The tokens of each outermost block. */
function blocksOf(tokens) {
  const blocks = [];
  for (const token of tokens) {
    if (token.level === 0 && token.nesting >= 0) blocks.push([]);
    blocks.at(-1).push(token);
  }
  return blocks;
}

function drawBlock(tokens, env) {
  const fragment = DOMPurify.sanitize(PARSER.renderer.render(tokens, PARSER.options, env), CLEAN);
  for (const pre of fragment.querySelectorAll("pre")) dressCode(pre);
  for (const table of fragment.querySelectorAll("table")) wrap(table, make("div", { class: "table", tabindex: "0" }));
  return fragment.firstElementChild;
}

function dressCode(pre) {
  const language = /language-(\S+)/.exec(pre.firstElementChild.className)?.[1] ?? "";
  const copy = make("button", { type: "button", "data-action": "copy-code", "aria-label": "Copy this code" }, "Copy");
  if (hljs.getLanguage(language)) highlight(pre.firstElementChild, language);
  pre.setAttribute("tabindex", "0");
  wrap(pre, make("div", { class: "code" }, make("header", {}, make("span", {}, language), copy)));
}

function wrap(node, box) {
  node.replaceWith(box);
  box.append(node);
}

function makeParser() {
  const parser = new MarkdownIt({ html: false, breaks: true, linkify: true });
  parser.disable(["code", "lheading"]); // models indent lists at will, and mean a rule by ---
  parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false }); // model.py is no address
  parser.validateLink = (address) => SAFE_ADDRESS.test(address);
  parser.use(tasklist, { label: false });
  parser.use(tex, { delimiters: "all", mathFence: true, render: formula });
  parser.block.ruler.before("list", "dot", dot, { alt: ["paragraph", "reference", "blockquote", "list"] });
  parser.core.ruler.push("dress", ({ tokens }) => tokens.forEach(dress));
  parser.renderer.rules.link_open = (tokens, n, options, env, renderer) => {
    tokens[n].attrJoin("rel", "noopener noreferrer");
    tokens[n].attrSet("target", "_blank");
    return renderer.renderToken(tokens, n, options);
  };
  parser.renderer.rules.image = imageAsLink;
  return parser;
}

/** A list's mark that Markdown does not know counts as one that it knows. */
function dot(state, line) {
  const at = state.bMarks[line] + state.tShift[line];
  if (/^•[ \t]/.test(state.src.slice(at, at + 2))) state.src = `${state.src.slice(0, at)}*${state.src.slice(at + 1)}`;
  return false; // the rule for lists goes on
}

function dress(token) {
  const { type, tag, info } = token;
  if (type === "heading_open" || type === "heading_close") token.tag = `h${Math.min(6, Number(tag[1]) + 2)}`;
  if (type === "list_item_open" && info) token.attrSet("value", info); // the number that was written
  const align = /^t[hd]_open$/.test(type) && /\w+$/.exec(token.attrGet("style") ?? "");
  if (align) token.attrs = [["class", `at-${align[0]}`]]; // styles are not allowed here
}

/** Images would be asked for elsewhere: shown is where they are. */
function imageAsLink(tokens, n, options, env, renderer) {
  const { escapeHtml } = PARSER.utils;
  const address = tokens[n].attrGet("src");
  const name = renderer.renderInlineAsText(tokens[n].children, options, env) || address;
  return `<a href="${escapeHtml(address)}" rel="noopener noreferrer" target="_blank">${escapeHtml(name)}</a>`;
}

/** Colours code. Its thousands of spans would take DOMPurify long: that they are nothing else is seen at once. */
function highlight(code, language) {
  const template = document.createElement("template");
  template.innerHTML = hljs.highlight(code.textContent, { language, ignoreIllegals: true }).value;
  const isPlain = (node) => node.localName === "span" && node.attributes.length === 1 && node.hasAttribute("class");
  if ([...template.content.querySelectorAll("*")].every(isPlain)) code.replaceChildren(template.content);
}

/** A formula as MathML; what is not one, or not yet, as it was written. */
function formula(source, displayMode) {
  try {
    const written = katex.renderToString(source, { ...KATEX, displayMode });
    const math = written.replace(/ style="[^"]*"/g, "").replace(AROUND_NAMES, '<mspace width="0.167em"></mspace>');
    return displayMode ? `<p class="formula">${math}</p>` : math;
  } catch {
    const written = `<code>${PARSER.utils.escapeHtml(source.trim())}</code>`;
    return displayMode ? `<p>${written}</p>` : written;
  }
}
