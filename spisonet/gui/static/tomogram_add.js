// Adding tomograms to a table: by the file browser, or by dropping a folder on the page.

import { post } from "./api.js";
import { browse } from "./files.js";
import { attempt, baseName, h, notify, openDialog } from "./dom.js";

const OPTIONS = [
  ["pixel_size", "Pixel size, Å", "from the MRC headers"],
  ["defocus", "Defocus, Å", "0 (no CTF)"],
  ["tilt_min", "Tilt min, °", "from tilt files, or -60"],
  ["tilt_max", "Tilt max, °", "from tilt files, or 60"],
];
const HALF_FOLDER = /^(even|evn|odd|half[12]|full)$/i;

/** Sizes by name of the files in a dropped folder, and in its subfolders of half tomograms. */
async function fileSizes(entry) {
  const read = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  const reader = entry.createReader();
  const sizes = {};
  for (let part = await read(reader); part.length; part = await read(reader)) {
    for (const fileEntry of part.filter(({ isFile }) => isFile)) {
      const file = await new Promise((resolve, reject) => fileEntry.file(resolve, reject));
      sizes[fileEntry.name] = file.size;
    }
    for (const half of part.filter(({ isDirectory, name }) => isDirectory && HALF_FOLDER.test(name))) {
      for (const [name, bytes] of Object.entries(await fileSizes(half))) sizes[`${half.name}/${name}`] = bytes;
    }
  }
  return sizes;
}

function openAddDialog(star, folder, files, onAdded) {
  const inputs = OPTIONS.map(([name, text, hint]) => [name, h("input", { type: "text", placeholder: hint, id: `add-${name}` }), text]);
  const errorText = h("p", { class: "error", hidden: true });
  const button = h("button", { class: "main", "data-do": "add", onclick: add }, "Add");
  const dialog = openDialog("Add tomograms", [
    h("p", {}, h("span", { class: "mono" }, folder), files.length ? `: ${files.join(", ")}` : ": all tomograms in this folder"),
    h("div", { class: "fields" }, inputs.map(([name, input, text]) => [h("label", { for: `add-${name}` }, text), input])),
    errorText,
    h("div", { class: "end" }, h("button", { onclick: () => dialog.close() }, "Cancel"), button),
  ]);
  async function add() {
    button.disabled = true;
    try {
      const options = Object.fromEntries(inputs.map(([name, input]) => [name, input.value]));
      const added = await post("table/add", { name: star, folder, files, options });
      dialog.close();
      onAdded(added);
    } catch (error) {
      errorText.hidden = false;
      errorText.textContent = error.message;
      button.disabled = false;
    }
  }
}

/** Area of the page that accepts folders; `onAdded` receives the new table and the equivalent command. */
export function dropArea(star, onAdded) {
  async function chooseFiles() {
    const found = await browse({ title: "Choose tomograms, or their folder", kinds: ["volume"], folders: true, several: true });
    if (found) openAddDialog(star, found.folder, found.names.map(baseName), onAdded);
  }

  async function drop(event) {
    event.preventDefault();
    area.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const folder = entries.find(({ isDirectory }) => isDirectory);
    if (!folder) {
      notify("Drop a folder of tomograms.", true);
      return;
    }
    await attempt(async () => {
      const files = await fileSizes(folder);
      openAddDialog(star, await post("locate", { name: folder.name, files }), [], onAdded);
    });
  }

  const area = h(
    "div",
    {
      class: "drop",
      id: "drop",
      ondragover: (event) => {
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
