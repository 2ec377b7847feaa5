// Elements, notices and dialogs. Text is always inserted as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, properties, ...children) => build(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) => build(document.createElementNS(SVG, tag), properties, children);

const drawnData = new WeakMap();

/** Replace the content of an element if its data have changed; an unchanged element stays, and with it a click in progress. */
export function redraw(element, data, make) {
  const key = JSON.stringify(data);
  if (drawnData.get(element) === key) return;
  drawnData.set(element, key);
  element.replaceChildren(...[make()].flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

export function notify(text, bad = false) {
  const notice = h("div", { class: bad ? "bad" : "" }, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), bad ? 9000 : 4000);
}

/** Run an action; show its error as a notice. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    notify(error.message, true);
    return undefined;
  }
}

/** Run an action again and again while the page is visible, until the user leaves it. */
export function repeat(milliseconds, onLeave, action) {
  let ended = false;
  const next = async () => {
    if (!document.hidden) await action();
    if (!ended) setTimeout(next, milliseconds);
  };
  onLeave(() => (ended = true));
  setTimeout(next, milliseconds);
}

export const badge = (state) => h("span", { class: `badge ${state}` }, state);

export function openDialog(title, content, narrow = false) {
  const dialog = h("dialog", { class: narrow ? "narrow" : "" }, h("h2", {}, title), content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Show a dialog; resolves to whether the user confirmed the action. */
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

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  for (; bytes >= 1000 && power < units.length - 1; power += 1) bytes /= 1000;
  return `${power ? bytes.toFixed(bytes < 10 ? 1 : 0) : bytes} ${units[power]}`;
}

export function dateTime(when) {
  if (!when) return "";
  const date = typeof when === "number" ? new Date(when * 1000) : new Date(when);
  const today = new Date().toDateString() === date.toDateString();
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return today ? time : `${date.toISOString().slice(0, 10)} ${time}`;
}

/** List of named values; empty values are omitted. */
export const properties = (pairs) =>
  h(
    "dl",
    { class: "properties" },
    pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [
      h("dt", {}, name),
      h("dd", {}, value),
    ]),
  );

export const baseName = (path) => path.split("/").pop();
export const stem = (path) => baseName(path).replace(/\.(mrc|rec|map|st|star|mod)$/, "");
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
