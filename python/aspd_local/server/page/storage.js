// Keeps values in this browser. Where the browser forbids that, they last as long as the page.

/** The value that was kept under this name, or null. */
export function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(`aspd.${name}`));
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(`aspd.${name}`, JSON.stringify(value));
  } catch {
    // storage is off or full: nothing that the reader could do here
  }
}
