// What the interface remembers of the project: the chosen maps, and the folder that was browsed last.

import { post } from "./api.js";

let settings = {};

export const setSettings = (stored) => (settings = stored);
export const getSettings = () => settings;

/** Change settings; null forgets one. They are stored in the project. */
export async function remember(changes) {
  if (Object.entries(changes).every(([name, value]) => settings[name] === value)) return;
  settings = { ...settings, ...changes };
  settings = await post("settings", changes);
}
