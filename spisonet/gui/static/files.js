// File browser: a dialog that lists the folders of the machine on which the server runs.

import { get } from "./api.js";
import { attempt, h, openDialog, size } from "./dom.js";
import { getSettings, remember } from "./settings.js";

const ICONS = { folder: "▸", volume: "▦", star: "≣", mod: "⬠" };

/**
 * Let the user select files or a folder.
 * kinds: selectable kinds of files (empty: all); folders: whether a folder can be selected; several: whether more than
 * one file can be selected; create: suffix of a new file that can be entered (null: none).
 * Resolves to { folder, names } with names relative to the project, or null.
 *
 * @param {{ title: string, kinds?: string[], folders?: boolean, several?: boolean, create?: string | null, start?: string }} options
 * @returns {Promise<any>}
 */
export function browse({ title, kinds = [], folders = false, several = false, create = null }) {
  return new Promise((resolve) => {
    let current = null;
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
    dialog.addEventListener("close", () => resolve(dialog.result ?? null));

    const within = (entry) => (current.name === "." || current.name === "" ? entry : `${current.name}/${entry}`);

    function finish() {
      const names = newName && newName.value.trim() ? [within(newName.value.trim())] : [...selected].map(within);
      if (!names.length && !folders) return;
      dialog.result = { folder: current.name, names };
      attempt(() => remember({ folder: current.name }));
      dialog.close();
    }

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
      element.setAttribute("aria-selected", selected.has(entry.name));
      updateButton();
    }

    function updateButton() {
      const text = folders && !selected.size ? "Choose this folder" : "Choose";
      accept.textContent = selected.size > 1 ? `Choose ${selected.size} files` : text;
      accept.disabled = !folders && !selected.size && create === null;
    }

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

    async function open(folder) {
      accept.disabled = true; // until the new folder is listed
      try {
        current = await get("folder", { name: folder });
      } catch (error) {
        errorText.textContent = error.message;
        if (current) updateButton();
        return;
      }
      selected.clear();
      errorText.textContent = current.n_omitted ? `${current.n_omitted} further entries are not shown.` : "";
      path.textContent = current.name === "." ? "project" : current.name;
      list.dataset.folder = current.name;
      folderButtons.replaceChildren(
        ...current.allowed_folders.map((allowed) =>
          h("button", { class: "plain", "data-folder": allowed, onclick: () => open(allowed) }, allowed === "." ? "Project folder" : allowed),
        ),
      );
      list.replaceChildren(
        ...(current.parent !== null
          ? [h(
              "div",
              {
                role: "option",
                "aria-selected": "false",
                "data-name": "..",
                tabindex: 0,
                onclick: () => open(current.parent),
                onkeydown: ({ key }) => key === "Enter" && open(current.parent),
              }, h("span", { class: "icon" }, "↑"),
              "..",
            ),
          ]
          : []),
        ...current.entries.map(row),
      );
      if (!current.entries.length) list.append(h("div", { class: "disabled" }, "This folder is empty."));
      updateButton();
    }
    // The folder of last time may have been removed.
    open(getSettings().folder ?? "").then(() => current ?? open(""));
  });
}
