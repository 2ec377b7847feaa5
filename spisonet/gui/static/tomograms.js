// Tomograms page: the table of tomograms and the commands that process them.

import { RequestError, get, post } from "./api.js";
import { browse } from "./files.js";
import { attempt, confirmAction, h, messageOf, notify, redraw } from "./dom.js";
import { quoted } from "./form.js";
import { dropArea } from "./tomogram_add.js";
import { COLUMNS, TomogramRows } from "./tomogram_rows.js";

const DEFAULT_TABLE = "tomograms.star";
const REFRESH_MILLISECONDS = 2500;
const COMMANDS = [
  ["deconv", "Deconvolve"],
  ["make_mask", "Mask"],
  ["refine", "Refine"],
  ["denoise", "Denoise"],
  ["predict", "Predict"],
  ["extract", "Extract"],
  ["resize", "Resize"],
];

/** @param {HTMLElement} selectAll */
function tableHeader(selectAll) {
  const texts = COLUMNS.map(([, text]) => h("th", { class: "number" }, text));
  return h("thead", {}, h("tr", {}, h("th", {}, selectAll), h("th", {}, "#"), h("th", {}, "Tomogram"), h("th", {}, "Files"), texts, h("th", {}, h("span", { class: "hidden-text" }, "View"))));
}

/** Network of the latest finished training, as input of predict. */
async function latestNetwork() {
  /** @type {import("./records").JobLine[]} */
  const jobs = await get("jobs");
  const trained = jobs.find(({ command, state }) => ["refine", "denoise"].includes(command) && state === "finished");
  return trained ? `${trained.name}/network.safetensors` : null;
}

/** @typedef {import("./records").Table} Table */

/** @param {import("./records").PageContext} context */
export async function showTomograms({ main, values, onLeave, pageAddress }) {
  const star = values.star ?? DEFAULT_TABLE;
  /** @type {Table | null} */
  let table = null; // as last returned by the server
  /** @type {string | null} */
  let drawnVersion = null; // of the table on the page
  /** @type {string | null} */
  let network = null;
  /** @type {Set<string>} */
  const selected = new Set();
  const list = h("div", { class: "card", hidden: true });
  const selectAll = h("input", { type: "checkbox", "aria-label": "Select all tomograms", "data-do": "select-all", onchange: toggleAll });
  const actions = h("div", { class: "row", style: { marginBottom: "18px" } });
  const addCommand = h("pre", { class: "command", hidden: true, id: "added-by", style: { marginTop: "14px" } });
  const rows = new TomogramRows(
    {
      star,
      version: () => table?.version ?? "",
      shown: (changed, redrawn) => {
        if (redrawn) show(changed);
        else table = changed;
      },
    },
    selected,
    drawActions,
    pageAddress,
  );

  /** @param {string} name */
  const openTable = (name) => (location.hash = pageAddress("tomograms", { star: name }));

  async function open() {
    const found = await browse({ title: "Open a table of tomograms", kinds: ["star"] });
    if (found?.names.length) openTable(found.names[0]);
  }

  async function saveAs() {
    const found = await browse({ title: "Save a copy of the table as", create: ".star" });
    if (!found?.names.length) return;
    const target = found.names[0].endsWith(".star") ? found.names[0] : `${found.names[0]}.star`;
    if (await attempt(() => post("table/copy", { name: star, target }))) openTable(target);
  }

  /** @param {Table} current */
  function show(current) {
    table = current;
    drawnVersion = current.version;
    const listed = new Set(current.rows.map(({ index }) => index));
    for (const index of [...selected]) if (!listed.has(index)) selected.delete(index);
    rows.draw(current.rows);
    const note = h("p", { class: "note" }, "This table belongs to RELION. Edits change it; use Save as to work on a copy.");
    list.replaceChildren(...(current.relion5 ? [note] : []), h("table", { id: "tomograms" }, tableHeader(selectAll), rows.body));
    list.hidden = false;
    drawActions();
  }

  /** @param {import("./tomogram_add.js").AddedTable} current */
  function added(current) {
    addCommand.hidden = false;
    addCommand.textContent = current.line.map(quoted).join(" ");
    show(current);
  }

  function toggleAll() {
    const all = table?.rows ?? [];
    selected.clear();
    if (selectAll.checked) for (const { index } of all) selected.add(index);
    rows.draw(all);
    drawActions();
  }

  function drawActions() {
    const n = table?.rows.length ?? 0;
    selectAll.checked = selected.size > 0 && selected.size === n;
    selectAll.indeterminate = selected.size > 0 && selected.size < n;
    redraw(actions, [star, network, [...selected], n], () => {
      const indices = selected.size && selected.size < n ? [...selected].join(",") : undefined;
      /** @param {string} command */
      const formValues = (command) => ({
        program: "isonet",
        command,
        star_file: star,
        tomo_idx: command === "resize" ? undefined : indices,
        model: command === "predict" ? network : undefined,
      });
      return [
        COMMANDS.map(([command, text]) =>
          h("a", { class: `button ${command === "refine" ? "main" : ""}`, "data-do": command, href: pageAddress("new", formValues(command)) }, text),
        ),
        h("button", { class: "danger", disabled: !selected.size, onclick: remove }, "Remove from the table"),
        h("span", { class: "quiet small" }, selected.size ? `${selected.size} selected` : "all tomograms"),
      ];
    });
  }

  async function remove() {
    if (!table) return;
    const { version } = table;
    const numbers = table.rows.filter(({ index }) => selected.has(index)).map(({ number }) => number);
    const noun = numbers.length > 1 ? "tomograms" : "tomogram";
    const question = `${numbers.length} ${noun} will be removed from ${star}. Their files are kept.`;
    if (!(await confirmAction("Remove from the table?", question, "Remove"))) return;
    const remaining = await attempt(() => post("table/remove", { name: star, rows: numbers, version }));
    if (!remaining) return;
    selected.clear();
    if (!remaining.trashed) {
      show(remaining);
      return;
    }
    table = null;
    list.hidden = true;
    actions.replaceChildren();
    notify(`${star} lists no tomograms now and was moved into the trash.`, false, {
      text: "Undo",
      run: async () => {
        await post("trash/restore", { name: remaining.trashed });
        show(await get("table", { name: star }));
      },
    });
  }

  main.append(
    h(
      "div",
      { class: "row spread" },
      h("h1", {}, "Tomograms"),
      h(
        "div",
        { class: "row" },
        h("span", { class: "mono", id: "table-name" }, star),
        h("button", { "data-do": "open", onclick: open }, "Open"),
        h("button", { "data-do": "save-as", onclick: saveAs }, "Save as"),
      ),
    ),
    h("p", { class: "lead" }, "STAR file of IsoNet, IsoNet2 or RELION 5. Edit values in place; commands add their output files to the table."),
    list,
    actions,
    dropArea(star, added),
    addCommand,
  );
  network = await latestNetwork();
  try {
    show(await get("table", { name: star }));
  } catch (error) {
    // A project starts without the default table.
    const isMissing = error instanceof RequestError && error.code === "file_not_found";
    if (values.star || !isMissing) main.prepend(h("p", { class: "error" }, messageOf(error)));
  }
  const timer = setInterval(async () => {
    const editing = document.activeElement?.matches(".cell, .invalid") || rows.hasInvalidCell;
    if (!table || editing || document.hidden || document.querySelector("dialog")) return;
    try {
      network = await latestNetwork();
      const current = await get("table", { name: star });
      if (current.version !== drawnVersion) show(current);
      else drawActions();
    } catch {
      // The table is being written, or the connection is lost: try again at the next refresh.
    }
  }, REFRESH_MILLISECONDS);
  onLeave(() => clearInterval(timer));
}
