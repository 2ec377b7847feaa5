// File browser: a dialog that lists the folders of the machine on which the server runs.

import { get } from "./api.js";
import { attempt, h, messageOf, openDialog, size } from "./dom.js";
import { getSettings, remember } from "./settings.js";

/** @typedef {import("./records").FolderEntry} FolderEntry */

/** @type {Record<string, string>} */
const ICONS = { folder: "▸", volume: "▦", star: "≣", mod: "⬠" };

/**
 * Let the user select files or a folder.
 * kinds: selectable kinds of files (empty: all); folders: whether a folder can be selected; several: whether more than
 * one file can be selected; create: suffix of a new file that can be entered (null: none).
 * Resolves to { folder, names } with names relative to the project, or null.
 *
 * @param {{ title: string, kinds?: string[], folders?: boolean, several?: boolean, create?: string | null, start?: string }} options
 * @returns {Promise<{ folder: string, names: string[] } | null>}
 */
export function browse({ title, kinds = [], folders = false, several = false, create = null }) {
  return new Promise((resolve) => {
    /** @type {import("./records").Folder | null} */
    let current = null;
    /** @type {{ folder: string, names: string[] } | null} */
    let result = null;
    /** @type {Set<string>} */
    const selected = new Set();
    const path = h("span", { class: "mono" });
    const list = h("div", { class: "browser", role: "listbox", "aria-label": title });
    const errorText = h("p", { class: "field-error" });
    const newName = create !== null && h("input", { type: "text", placeholder: `new name${create}`, "aria-label": "New name" });
    const accept = h("button", { class: "main", onclick: finish, "data-do": "choose" }, "Choose");
    const folderButtons = h("span", { class: "row" });
    const dialog = openDialog(title, [
      h("div", { class: "row spread small" }, path, folderButtons),
      list,
      errorText,
      h("div", { class: "end" }, newName, h("button", { onclick: () => dialog.close() }, "Cancel"), accept),
    ]);
    dialog.addEventListener("close", () => resolve(result));

    /** @param {string} entry */
    const within = (entry) => (!current || current.name === "." || current.name === "" ? entry : `${current.name}/${entry}`);

    function finish() {
      const names = newName && newName.value.trim() ? [within(newName.value.trim())] : [...selected].map(within);
      if (!current || (!names.length && !folders)) return;
      const { name: folder } = current;
      result = { folder, names };
      attempt(() => remember({ folder }));
      dialog.close();
    }

    /** @param {FolderEntry} entry @param {HTMLElement} element */
    function toggleSelection(entry, element) {
      if (!several) {
        selected.clear();
        list.querySelectorAll(".selected").forEach((other) => {
          other.classList.remove("selected");
          other.setAttribute("aria-selected", "false");
        });
      }
      if (selected.delete(entry.name)) element.classList.remove("selected");
      else {
        selected.add(entry.name);
        element.classList.add("selected");
      }
      element.setAttribute("aria-selected", String(selected.has(entry.name)));
      updateButton();
    }

    function updateButton() {
      const text = folders && !selected.size ? "Choose this folder" : "Choose";
      accept.textContent = selected.size > 1 ? `Choose ${selected.size} files` : text;
      accept.disabled = !folders && !selected.size && create === null;
    }

    /** @param {FolderEntry} entry */
    function row(entry) {
      const isFolder = entry.kind === "folder";
      const selectable = isFolder || !kinds.length || kinds.includes(entry.kind);
      const element = h(
        "div",
        { class: selectable ? "" : "disabled", role: "option", "aria-selected": "false", "aria-disabled": selectable ? null : "true", tabindex: selectable ? 0 : undefined, "data-name": entry.name },
        h("span", { class: "icon" }, ICONS[entry.kind] ?? "·"),
        entry.name,
        !isFolder && h("span", { class: "size" }, size(entry.bytes)),
      );
      element.addEventListener("keydown", ({ key }) => key === "Enter" && element.click());
      if (isFolder) element.addEventListener("click", () => open(within(entry.name)));
      else if (selectable) {
        element.addEventListener("click", () => toggleSelection(entry, element));
        element.addEventListener("dblclick", () => {
          if (!selected.has(entry.name)) toggleSelection(entry, element);
          finish();
        });
      }
      return element;
    }

    /** @param {string} folder */
    async function open(folder) {
      accept.disabled = true; // until the new folder is listed
      /** @type {import("./records").Folder} */
      let shown;
      try {
        shown = current = await get("folder", { name: folder });
      } catch (error) {
        errorText.textContent = messageOf(error);
        if (current) updateButton();
        return;
      }
      selected.clear();
      const { parent } = shown;
      errorText.textContent = shown.n_omitted ? `${shown.n_omitted} further entries are not shown.` : "";
      path.textContent = shown.name === "." ? "project" : shown.name;
      list.dataset.folder = shown.name;
      folderButtons.replaceChildren(
        ...shown.allowed_folders.map((allowed) =>
          h("button", { class: "plain", "data-folder": allowed, onclick: () => open(allowed) }, allowed === "." ? "Project folder" : allowed),
        ),
      );
      list.replaceChildren(
        ...(parent !== null
          ? [h(
              "div",
              {
                role: "option",
                "aria-selected": "false",
                "data-name": "..",
                tabindex: 0,
                onclick: () => open(parent),
                onkeydown: (/** @type {KeyboardEvent} */ { key }) => key === "Enter" && open(parent),
              }, h("span", { class: "icon" }, "↑"),
              "..",
            ),
          ]
          : []),
        ...shown.entries.map(row),
      );
      if (!shown.entries.length) list.append(h("div", { class: "disabled" }, "This folder is empty."));
      updateButton();
    }
    // The folder of last time may have been removed.
    open(getSettings().folder ?? "").then(() => {
      if (!current) open("");
    });
  });
}
