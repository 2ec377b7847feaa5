// What the interface remembers of the project: the chosen maps, and the folder that was browsed last.

import { post } from "./api.js";

/** @typedef {import("./records").Settings} Settings */

/** @type {Settings} */
let settings = {};

/** @param {Settings} stored */
export const setSettings = (stored) => (settings = stored);
export const getSettings = () => settings;

/**
 * Change settings; null forgets one. They are stored in the project.
 *
 * @param {Settings} changes
 */
export async function remember(changes) {
  if (Object.entries(changes).every(([name, value]) => settings[/** @type {keyof Settings} */ (name)] === value)) return;
  settings = { ...settings, ...changes };
  settings = await post("settings", changes);
}
