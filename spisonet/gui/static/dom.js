// Elements, notices and dialogs. Text is always inserted as text, never as HTML.

import { ConnectionError } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Record<string, any> | null} Attributes of an element; functions named on... are listeners, `style` is an object */
/** @typedef {any} Content string, number, element, or (nested) lists of these; null, undefined and false are omitted */

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes | undefined} attributes
 * @param {Content[]} children
 * @returns {E}
 */
function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(/** @type {any} */ (element).style, value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Make an HTML element.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Content} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);

/**
 * Make an SVG element.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Content} children
 * @returns {SVGElementTagNameMap[T]}
 */
export const s = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** @type {WeakMap<Element, string>} */
const drawnData = new WeakMap();

/**
 * Replace the content of an element if its data have changed; an unchanged element stays, and with it a click in progress.
 *
 * @param {Element} element
 * @param {unknown} data
 * @param {() => Content} make
 */
export function redraw(element, data, make) {
  const key = JSON.stringify(data);
  if (drawnData.get(element) === key) return;
  drawnData.set(element, key);
  element.replaceChildren(...[make()].flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

/**
 * Show a notice for some seconds, once however often it is repeated.
 *
 * @param {string} text
 * @param {boolean} [bad]
 * @param {{ text: string, run: () => unknown }} [action] offered as a button
 */
export function notify(text, bad = false, action = undefined) {
  const notices = document.getElementById("notices");
  for (const shown of notices?.children ?? []) if (shown instanceof HTMLElement && shown.dataset.text === text) shown.remove();
  const button = action && h("button", { "data-do": "notice-action", onclick: () => (notice.remove(), attempt(action.run)) }, action.text);
  const notice = h("div", { class: bad ? "bad" : "", "data-text": text }, text, button);
  notices?.append(notice);
  setTimeout(() => notice.remove(), action ? 15000 : bad ? 9000 : 4000);
}

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Run an action; show its error as a notice.
 *
 * @template T
 * @param {() => T | Promise<T>} action
 * @returns {Promise<T | undefined>}
 */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ConnectionError)) notify(messageOf(error), true);
    return undefined;
  }
}

/**
 * Run an action again and again while the page is visible, until the user leaves it; show its errors as notices.
 *
 * @param {number} milliseconds
 * @param {(cleanup: () => void) => void} onLeave
 * @param {() => unknown} action
 */
export function repeat(milliseconds, onLeave, action) {
  let ended = false;
  const next = async () => {
    if (!document.hidden) {
      try {
        await action();
      } catch (error) {
        // What fails after the user has left, such as reading a job that was deleted meanwhile, is of no interest.
        if (!ended) await attempt(() => Promise.reject(error));
      }
    }
    if (!ended) setTimeout(next, milliseconds);
  };
  onLeave(() => (ended = true));
  setTimeout(next, milliseconds);
}

/** @param {string} state */
export const badge = (state) => h("span", { class: `badge ${state}` }, state);

let dialogCount = 0;

/**
 * @param {string} title
 * @param {Content} content
 */
export function openDialog(title, content, narrow = false) {
  dialogCount += 1;
  const id = `dialog-title-${dialogCount}`;
  const dialog = h("dialog", { class: narrow ? "narrow" : "", "aria-labelledby": id }, h("h2", { id }, title), content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Show a dialog; resolves to whether the user confirmed the action.
 *
 * @param {string} title
 * @param {string} text
 * @param {string} action
 * @returns {Promise<boolean>}
 */
export function confirmAction(title, text, action) {
  return new Promise((resolve) => {
    const dialog = openDialog(
      title,
      [
        h("p", {}, text),
        h(
          "div",
          { class: "end" },
          h("button", { onclick: () => dialog.close() }, "Cancel"),
          h("button", { class: "main danger", "data-do": "confirm", onclick: () => dialog.close("yes") }, action),
        ),
      ],
      true,
    );
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  for (; bytes >= 1000 && power < units.length - 1; power += 1) bytes /= 1000;
  return `${power ? bytes.toFixed(bytes < 10 ? 1 : 0) : bytes} ${units[power]}`;
}

/** @param {number | string | null | undefined} when seconds since 1970, or a date in ISO format */
export function dateTime(when) {
  if (!when) return "";
  const date = typeof when === "number" ? new Date(when * 1000) : new Date(when);
  /** @param {number} number */
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/**
 * List of named values; empty values are omitted.
 *
 * @param {[string, Content][]} pairs
 */
export const properties = (pairs) =>
  h(
    "dl",
    { class: "properties" },
    pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [
      h("dt", {}, name),
      h("dd", {}, value),
    ]),
  );

/** @param {string} path */
export const baseName = (path) => path.slice(path.lastIndexOf("/") + 1);
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
