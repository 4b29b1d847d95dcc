// What the reader has chosen, kept in this browser and bound to the form in the settings dialog.
import { keep, kept } from "./storage.js";

const DEFAULTS = { model: "", temperature: 0.8, max_tokens: 512, seed: null, plan: "auto", system: "", key: "" };

export const settings = { ...DEFAULTS, ...kept("settings") };

/** Fills the form, and takes over each change that its field accepts. */
export function bindSettings(form) {
  for (const name of Object.keys(DEFAULTS)) form.elements[name].value = settings[name] ?? "";
  const take = ({ target }) => {
    if (!target.checkValidity()) return;
    settings[target.name] = target.type === "number" ? numberOrNull(target.value) : target.value;
    keep("settings", settings);
  };
  for (const name of Object.keys(DEFAULTS)) form.elements[name].addEventListener("input", take); // one is elsewhere
}

const numberOrNull = (text) => (text === "" ? null : Number(text));

/** Offers the server's models. The first one is taken if the one that was chosen is not among them. */
export function offerModels(select, models) {
  select.replaceChildren(...models.map(({ id }) => new Option(id, id)));
  if (!models.some(({ id }) => id === settings.model)) settings.model = models[0]?.id ?? "";
  select.value = settings.model;
}
