// Makes DOM nodes, and turns a tree that is shown into another with as few changes as it takes.

const SVG = new Set(["svg", "rect"]);

/** An element. Attributes that are null or false are left out, true is an empty one; strings become text nodes. */
export function make(tag, attributes = {}, ...children) {
  const node = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Makes `shown` equal to `fresh`. Nodes that stay equal are kept: focus, selection and scrolling survive. */
export function morph(shown, fresh) {
  if (shown.isEqualNode(fresh)) return;
  for (const { name } of [...shown.attributes]) {
    if (!fresh.hasAttribute(name)) shown.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  const wanted = [...fresh.childNodes];
  while (shown.childNodes.length > wanted.length) shown.lastChild.remove();
  wanted.forEach((child, n) => {
    const present = shown.childNodes[n];
    if (!present) shown.append(child);
    else if (present.nodeName !== child.nodeName) present.replaceWith(child);
    else if (child.nodeType === Node.TEXT_NODE) morphText(present, child.data);
    else morph(present, child);
  });
}

function morphText(node, text) {
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}
