// The file browser: a dialog that lists folders of the server's machine.

import { get } from "./api.js";
import { h, openDialog, size } from "./dom.js";

const SIGNS = { folder: "▸", volume: "▦", star: "≣", mod: "⬠" };

/**
 * Let the user choose.
 * kinds: which kinds of files fit (empty: all); folders: whether a folder may be chosen; several: more than one file;
 * create: suffix of a new file that may be named.
 * Returns { folder, names } with names relative to the project, or null.
 */
export function browse({ title, kinds = [], folders = false, several = false, create = null, start = "" }) {
  return new Promise((resolve) => {
    let current = null;
    const chosen = new Set();
    const path = h("span", { class: "mono" });
    const list = h("div", { class: "browser", role: "listbox" });
    const fault = h("p", { class: "fault" });
    const name = create !== null && h("input", { type: "text", placeholder: `new name${create}`, "aria-label": "New name" });
    const accept = h("button", { class: "main", onclick: finish, "data-do": "choose" }, "Choose");
    const roots = h("span", { class: "row" });
    const dialog = openDialog(title, [
      h("div", { class: "row spread small" }, path, roots),
      list,
      fault,
      h("div", { class: "end" }, name, h("button", { onclick: () => dialog.close() }, "Cancel"), accept),
    ]);
    dialog.addEventListener("close", () => resolve(dialog.result ?? null));

    const within = (entry) => (current.name === "." || current.name === "" ? entry : `${current.name}/${entry}`);

    function finish() {
      const names = name && name.value.trim() ? [within(name.value.trim())] : [...chosen].map(within);
      if (!names.length && !folders) return;
      dialog.result = { folder: current.name, names };
      dialog.close();
    }

    function pick(entry, element) {
      if (!several) {
        chosen.clear();
        list.querySelectorAll(".chosen").forEach((other) => other.classList.remove("chosen"));
      }
      if (chosen.delete(entry.name)) element.classList.remove("chosen");
      else {
        chosen.add(entry.name);
        element.classList.add("chosen");
      }
      label();
    }

    function label() {
      const what = folders && !chosen.size ? "Choose this folder" : "Choose";
      accept.textContent = chosen.size > 1 ? `Choose ${chosen.size} files` : what;
      accept.disabled = !folders && !chosen.size && create === null;
    }

    function row(entry) {
      const isFolder = entry.kind === "folder";
      const fits = isFolder || !kinds.length || kinds.includes(entry.kind);
      const element = h(
        "div",
        { class: fits ? "" : "unfit", role: "option", tabindex: fits ? 0 : undefined, "data-name": entry.name },
        h("span", { class: "sign" }, SIGNS[entry.kind] ?? "·"),
        entry.name,
        !isFolder && h("span", { class: "size" }, size(entry.bytes)),
      );
      element.addEventListener("keydown", ({ key }) => key === "Enter" && element.click());
      if (isFolder) element.addEventListener("click", () => open(within(entry.name)));
      else if (fits) {
        element.addEventListener("click", () => pick(entry, element));
        element.addEventListener("dblclick", () => {
          if (!chosen.has(entry.name)) pick(entry, element);
          finish();
        });
      }
      return element;
    }

    async function open(folder) {
      accept.disabled = true; // what would be chosen is about to change
      try {
        current = await get("folder", { name: folder });
      } catch (error) {
        fault.textContent = error.message;
        if (current) label();
        return;
      }
      chosen.clear();
      fault.textContent = current.left_out ? `${current.left_out} further entries are not shown.` : "";
      path.textContent = current.name === "." ? "project" : current.name;
      list.dataset.folder = current.name;
      roots.replaceChildren(
        ...(current.roots.length > 1
          ? current.roots.map((root) =>
              h("button", { class: "plain", onclick: () => open(root) }, root === "." ? "project" : root),
            )
          : []),
      );
      list.replaceChildren(
        ...(current.above !== null
          ? [h("div", { "data-name": "..", tabindex: 0, onclick: () => open(current.above) }, h("span", { class: "sign" }, "↑"), "..")]
          : []),
        ...current.entries.map(row),
      );
      if (!current.entries.length) list.append(h("div", { class: "unfit" }, "This folder is empty."));
      label();
    }
    open(start);
  });
}
