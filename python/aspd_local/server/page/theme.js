// Dark or light: as the system has it, or as the reader switched it.
import { keep, kept } from "./storage.js";

const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** Shows the theme that was kept; `button` switches it. The system's own is not kept: it may change. */
export function bindTheme(button) {
  const { dataset } = document.documentElement;
  dataset.theme = kept("theme") ?? "";
  button.addEventListener("click", () => {
    const next = (dataset.theme || system()) === "dark" ? "light" : "dark";
    dataset.theme = next === system() ? "" : next;
    keep("theme", dataset.theme);
  });
}
