// Adding tomograms to a table: by the file browser, or by dropping a folder on the page.

import { post } from "./api.js";
import { browse } from "./files.js";
import { attempt, baseName, h, messageOf, notify, openDialog } from "./dom.js";

const OPTIONS = [
  ["pixel_size", "Pixel size, Å", "from the MRC headers"],
  ["defocus", "Defocus, Å", "0 (no CTF)"],
  ["tilt_min", "Tilt min, °", "from tilt files, or -60"],
  ["tilt_max", "Tilt max, °", "from tilt files, or 60"],
];
const HALF_FOLDER = /^(even|evn|odd|half[12]|full)$/i;

/** @typedef {import("./records").Table & { line: string[] }} AddedTable */

/**
 * Sizes by name of the files in a dropped folder, and in its subfolders of half tomograms.
 *
 * @param {FileSystemDirectoryEntry} folder
 */
async function fileSizes(folder) {
  const reader = folder.createReader();
  /** @returns {Promise<FileSystemEntry[]>} */
  const read = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  /** @type {Record<string, number>} */
  const sizes = {};
  for (let part = await read(); part.length; part = await read()) {
    for (const entry of part.filter(({ isFile }) => isFile)) {
      /** @type {File} */
      const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
      sizes[entry.name] = file.size;
    }
    for (const entry of part.filter(({ isDirectory, name }) => isDirectory && HALF_FOLDER.test(name))) {
      const half = /** @type {FileSystemDirectoryEntry} */ (entry);
      for (const [name, bytes] of Object.entries(await fileSizes(half))) sizes[`${half.name}/${name}`] = bytes;
    }
  }
  return sizes;
}

/**
 * @param {string} star
 * @param {string} folder
 * @param {string[]} files
 * @param {(added: AddedTable) => void} onAdded
 */
function openAddDialog(star, folder, files, onAdded) {
  const inputs = OPTIONS.map(([name, text, hint]) => ({ name, text, input: h("input", { type: "text", placeholder: hint, id: `add-${name}` }) }));
  const errorText = h("p", { class: "error", hidden: true });
  const button = h("button", { class: "main", "data-do": "add", onclick: add }, "Add");
  const dialog = openDialog("Add tomograms", [
    h("p", {}, h("span", { class: "mono" }, folder), files.length ? `: ${files.join(", ")}` : ": all tomograms in this folder"),
    h("div", { class: "fields" }, inputs.map(({ name, input, text }) => [h("label", { for: `add-${name}` }, text), input])),
    errorText,
    h("div", { class: "end" }, h("button", { onclick: () => dialog.close() }, "Cancel"), button),
  ]);
  async function add() {
    button.disabled = true;
    try {
      const options = Object.fromEntries(inputs.map(({ name, input }) => [name, input.value]));
      const added = await post("table/add", { name: star, folder, files, options });
      dialog.close();
      onAdded(added);
    } catch (error) {
      errorText.hidden = false;
      errorText.textContent = messageOf(error);
      button.disabled = false;
    }
  }
}

/**
 * Area of the page that accepts folders.
 *
 * @param {string} star
 * @param {(added: AddedTable) => void} onAdded receives the new table and the equivalent command
 */
export function dropArea(star, onAdded) {
  async function chooseFiles() {
    const found = await browse({ title: "Choose tomograms, or their folder", kinds: ["volume"], folders: true, several: true });
    if (found) openAddDialog(star, found.folder, found.names.map(baseName), onAdded);
  }

  /** @param {DragEvent} event */
  async function drop(event) {
    event.preventDefault();
    area.classList.remove("over");
    const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
    const folder = entries.find((entry) => entry?.isDirectory);
    if (!folder) {
      notify("Drop a folder of tomograms.", true);
      return;
    }
    await attempt(async () => {
      const files = await fileSizes(/** @type {FileSystemDirectoryEntry} */ (folder));
      openAddDialog(star, await post("locate", { name: folder.name, files }), [], onAdded);
    });
  }

  const area = h(
    "div",
    {
      class: "drop",
      id: "drop",
      ondragover: (/** @type {DragEvent} */ event) => {
        event.preventDefault();
        area.classList.add("over");
      },
      ondragleave: () => area.classList.remove("over"),
      ondrop: drop,
    },
    "Drop a folder of tomograms here, or ",
    h("button", { "data-do": "browse", onclick: chooseFiles }, "Browse"),
    h("div", { class: "small" }, "Even and odd halves are recognised by file name, or in folders named even and odd. Files are not copied or uploaded."),
  );
  return area;
}
