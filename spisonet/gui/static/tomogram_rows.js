// Rows of the tomogram table: selection, files, and values that are edited in place.

import { get, post } from "./api.js";
import { attempt, h, messageOf, notify } from "./dom.js";

/** @type {[string, string][]} */
export const COLUMNS = [
  ["rlnPixelSize", "Pixel size, Å"],
  ["rlnDefocus", "Defocus, Å"],
  ["rlnTiltMin", "Tilt min, °"],
  ["rlnTiltMax", "Tilt max, °"],
];
const BEFORE = ["deconvolved", "full", "even"]; // shown in the viewer, in order of preference
const AFTER = ["corrected", "denoised"]; // compared with it

/** @typedef {import("./records").TomogramRecord} TomogramRecord */
/** @typedef {import("./records").Table} Table */

/**
 * The name of a table, the version on the page, and what to do with a table that the server returns.
 *
 * @typedef {{ star: string, version: () => string, shown: (table: Table, redraw: boolean) => void }} Editor
 */

/** Rows of one table. */
export class TomogramRows {
  /**
   * @param {Editor} editor
   * @param {Set<string>} selection the selected indices
   * @param {() => void} onSelect called when the selection changes
   * @param {import("./records").PageAddress} pageAddress
   */
  constructor(editor, selection, onSelect, pageAddress) {
    this.editor = editor;
    this.selection = selection;
    this.onSelect = onSelect;
    this.pageAddress = pageAddress;
    this.body = h("tbody");
    this.edits = Promise.resolve(); // one after another, because each edit needs the version that the last one made
  }

  /** Whether a cell has an invalid value that was entered here; an invalid value of the table itself is `data-stored`. */
  get hasInvalidCell() {
    return Boolean(this.body.querySelector(".invalid:not([data-stored])"));
  }

  /** @param {TomogramRecord[]} rows */
  draw(rows) {
    this.body.replaceChildren(...rows.map((row) => this.row(row)));
  }

  /** @param {TomogramRecord} row */
  row(row) {
    const box = h("input", { type: "checkbox", "aria-label": `Select ${row.name}` });
    box.checked = this.selection.has(row.index);
    box.addEventListener("change", () => {
      if (box.checked) this.selection.add(row.index);
      else this.selection.delete(row.index);
      this.onSelect();
    });
    return h(
      "tr",
      { "data-row": row.number },
      h("td", {}, box),
      h("td", { class: "quiet" }, row.index),
      h("td", { title: row.shown }, row.name),
      h("td", {}, this.fileLinks(row)),
      COLUMNS.map((column) => this.cell(row, column)),
      h("td", { class: "number" }, h("a", { class: "button", href: this.viewAddress(row) }, "View")),
    );
  }

  /** @param {TomogramRecord} row */
  fileLinks(row) {
    return Object.entries(row.files).map(([kind, { name, exists }]) => {
      if (!exists) {
        const clear = h("button", { class: "plain", "aria-label": `Remove the missing ${kind} of ${row.name} from the table`, "data-do": `clear-${kind}`, onclick: () => this.clear(row.number, kind) }, "×");
        return h("span", { class: "chip missing", title: `${name} is missing` }, kind, " missing", kind === "full" ? "" : clear);
      }
      const file = kind === "boundary" ? { boundary: name } : { name };
      return h("a", { class: "chip", title: name, href: this.viewAddress(row, file) }, kind);
    });
  }

  /**
   * @param {TomogramRecord} row
   * @param {{ name?: string, boundary?: string }} [file]
   */
  viewAddress(row, file = {}) {
    /** @param {string[]} kinds */
    const existing = (kinds) => kinds.map((kind) => row.files[kind]).find((candidate) => candidate?.exists)?.name;
    return this.pageAddress("view", {
      name: file.name ?? existing(BEFORE),
      second: file.name ? undefined : existing(AFTER),
      mask: existing(["mask"]),
      boundary: file.boundary ?? existing(["boundary"]),
      star: this.editor.star,
      row: row.number,
    });
  }

  /** @param {number} row @param {string} kind */
  async clear(row, kind) {
    const { star } = this.editor;
    const table = await attempt(() => post("table/clear", { name: star, row, kind, version: this.editor.version() }));
    if (table) this.editor.shown(table, true);
  }

  /** @param {TomogramRecord} row @param {[string, string]} column */
  cell(row, [column, text]) {
    const input = h("input", { class: "cell", value: row.values[column] ?? "", "aria-label": `${text} of ${row.name}`, "data-cell": `${row.number}-${column}` });
    const error = h("div", { class: "field-error" }, row.errors[column]);
    if (row.errors[column]) {
      input.classList.add("invalid");
      input.dataset.stored = "";
    }
    input.addEventListener("keydown", ({ key }) => key === "Enter" && input.blur());
    input.addEventListener("change", () => {
      this.edits = this.edits.then(() => this.save(row.number, column, input, error));
    });
    return h("td", { class: "number" }, input, error);
  }

  /**
   * @param {number} row
   * @param {string} column
   * @param {HTMLInputElement} input
   * @param {HTMLElement} error
   */
  async save(row, column, input, error) {
    const { star } = this.editor;
    const version = this.editor.version();
    try {
      const table = await post("table/edit", { name: star, row, column, value: input.value, version });
      input.classList.remove("invalid");
      error.textContent = "";
      const typing = document.activeElement?.matches(".cell") && document.activeElement !== input;
      this.editor.shown(table, !typing && !this.hasInvalidCell);
    } catch (failure) {
      const current = await get("table", { name: star }).catch(() => null);
      if (current && current.version !== version) {
        this.editor.shown(current, true);
        notify(messageOf(failure), true);
        return;
      }
      input.classList.add("invalid");
      delete input.dataset.stored;
      error.textContent = messageOf(failure);
    }
  }
}
