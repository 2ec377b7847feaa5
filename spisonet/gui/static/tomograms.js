// The table of tomograms: add, edit in place, process, look.

import { get, post } from "./api.js";
import { browse } from "./files.js";
import { ask, attempt, h, notify, openDialog, redraw } from "./dom.js";
import { quoted } from "./form.js";

const DEFAULT_TABLE = "tomograms.star";
const LOOK_AGAIN_MILLISECONDS = 2500;
const COLUMNS = [
  ["rlnPixelSize", "Pixel size, Å"],
  ["rlnDefocus", "Defocus, Å"],
  ["rlnTiltMin", "Tilt from, °"],
  ["rlnTiltMax", "to, °"],
];
const ACTIONS = [
  ["deconv", "Deconvolve"],
  ["make_mask", "Mask"],
  ["refine", "Refine"],
  ["denoise", "Denoise"],
  ["predict", "Predict"],
  ["extract", "Extract"],
  ["resize", "Resize"],
];
const OPTIONS = [
  ["pixel_size", "Pixel size, Å", "from the headers"],
  ["defocus", "Defocus, Å", "0: no CTF"],
  ["tilt_min", "Smallest tilt, °", "from tilt files, or -60"],
  ["tilt_max", "Largest tilt, °", "from tilt files, or 60"],
];
const BEFORE = ["deconvolved", "full", "even"];
const AFTER = ["corrected", "denoised"];

async function filesOfDrop(entry) {
  const read = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  const reader = entry.createReader();
  const files = {};
  for (let part = await read(reader); part.length; part = await read(reader)) {
    for (const below of part.filter(({ isFile }) => isFile)) {
      const file = await new Promise((resolve, reject) => below.file(resolve, reject));
      files[below.name] = file.size;
    }
    for (const half of part.filter(({ isDirectory, name }) => isDirectory && /^(even|evn|odd|half[12]|full)$/i.test(name))) {
      for (const [name, bytes] of Object.entries(await filesOfDrop(half))) files[`${half.name}/${name}`] = bytes;
    }
  }
  return files;
}

export async function showTomograms({ main, values, onLeave, here }) {
  const star = values.star ?? DEFAULT_TABLE;
  let table = null;
  let drawn = null; // version on the screen
  let edits = Promise.resolve(); // one after the other: each needs the version that the last one made
  const selected = new Set();
  const body = h("tbody");
  const list = h("div", { class: "card" });
  const title = h("span", { class: "mono", id: "table-name" }, star);
  const actions = h("div", { class: "row" });
  const ran = h("pre", { class: "command", hidden: true, id: "added-by" });

  const go = (name) => (location.hash = here("tomograms", { star: name }));

  async function open() {
    const found = await browse({ title: "Open a table of tomograms", kinds: ["star"] });
    if (found?.names.length) go(found.names[0]);
  }

  async function saveAs() {
    const found = await browse({ title: "Save a copy of the table as", create: ".star", kinds: [] });
    if (!found?.names.length) return;
    const target = found.names[0].endsWith(".star") ? found.names[0] : `${found.names[0]}.star`;
    if (await attempt(() => post("table/copy", { name: star, target }))) go(target);
  }

  function addDialog(folder, files) {
    const inputs = OPTIONS.map(([name, text, hint]) => [name, h("input", { type: "text", placeholder: hint, id: `add-${name}` }), text]);
    const fault = h("p", { class: "error", hidden: true });
    const button = h("button", { class: "main", "data-do": "add", onclick: add }, "Add");
    const dialog = openDialog("Add tomograms", [
      h("p", {}, h("span", { class: "mono" }, folder), files.length ? `: ${files.join(", ")}` : ": all tomograms in it"),
      h("div", { class: "fields" }, inputs.map(([name, input, text]) => [h("label", { for: `add-${name}` }, text), input])),
      fault,
      h("div", { class: "end" }, h("button", { onclick: () => dialog.close() }, "Cancel"), button),
    ]);
    async function add() {
      button.disabled = true;
      try {
        const options = Object.fromEntries(inputs.map(([name, input]) => [name, input.value]));
        const added = await post("table/add", { name: star, folder, files, options });
        dialog.close();
        ran.hidden = false;
        ran.textContent = added.line.map(quoted).join(" ");
        show(added);
      } catch (error) {
        fault.hidden = false;
        fault.textContent = error.message;
        button.disabled = false;
      }
    }
  }

  async function addByBrowser() {
    const found = await browse({ title: "Choose tomograms, or their folder", kinds: ["volume"], folders: true, several: true });
    if (found) addDialog(found.folder, found.names.map((name) => name.split("/").pop()));
  }

  async function dropped(event) {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const folder = entries.find(({ isDirectory }) => isDirectory);
    if (!folder) return notify("Drop a folder of tomograms.", true);
    await attempt(async () => {
      const files = await filesOfDrop(folder);
      addDialog(await post("locate", { name: folder.name, files }), []);
    });
    return undefined;
  }

  const drop = h(
    "div",
    {
      class: "drop",
      id: "drop",
      ondragover: (event) => {
        event.preventDefault();
        drop.classList.add("over");
      },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: dropped,
    },
    "Drop a folder of tomograms here, or ",
    h("button", { "data-do": "browse", onclick: addByBrowser }, "Browse"),
    h("div", { class: "small" }, "Even and odd halves are found by their names, or in folders even and odd. Nothing is copied or sent."),
  );

  function cell(row, column) {
    const input = h("input", { class: "cell", value: row.values[column] ?? "", "aria-label": `${column} of ${row.name}`, "data-cell": `${row.number}-${column}` });
    const fault = h("div", { class: "fault" });
    input.addEventListener("keydown", ({ key }) => key === "Enter" && input.blur());
    input.addEventListener("change", () => {
      edits = edits.then(async () => {
        try {
          const found = await post("table/edit", { name: star, row: row.number, column, value: input.value, version: table.version });
          input.classList.remove("wrong");
          fault.textContent = "";
          const typing = document.activeElement?.matches(".cell") && document.activeElement !== input;
          if (typing || body.querySelector(".wrong")) table = found;
          else show(found);
        } catch (error) {
          const now = await get("table", { name: star }).catch(() => null);
          if (now && now.version !== table.version) {
            show(now);
            notify(error.message, true);
            return;
          }
          input.classList.add("wrong");
          fault.textContent = error.message;
        }
      });
    });
    return h("td", { class: "number" }, input, fault);
  }

  function chips(row) {
    return Object.entries(row.files).map(([kind, { name, exists }]) => {
      if (!exists) return h("span", { class: "chip missing", title: `${name} is missing` }, kind);
      if (kind === "boundary") return h("a", { class: "chip", title: name, href: look(row, { boundary: name }) }, kind);
      return h("a", { class: "chip", title: name, href: look(row, { name }) }, kind);
    });
  }

  function look(row, given = {}) {
    const there = (kinds) => kinds.map((kind) => row.files[kind]).find((file) => file?.exists)?.name;
    const before = there(BEFORE);
    const after = there(AFTER);
    return here("view", {
      name: given.name ?? before,
      second: given.name ? undefined : after,
      mask: row.files.mask?.exists ? row.files.mask.name : undefined,
      boundary: given.boundary ?? (row.files.boundary?.exists ? row.files.boundary.name : undefined),
      star,
      row: row.number,
    });
  }

  function line(row) {
    const box = h("input", { type: "checkbox", "aria-label": `Select ${row.name}` });
    box.checked = selected.has(row.index);
    box.addEventListener("change", () => {
      if (box.checked) selected.add(row.index);
      else selected.delete(row.index);
      drawActions();
    });
    return h(
      "tr",
      { "data-row": row.number },
      h("td", {}, box),
      h("td", { class: "quiet" }, row.index),
      h("td", { title: row.shown }, row.name),
      h("td", {}, chips(row)),
      COLUMNS.map(([column]) => cell(row, column)),
      h("td", { class: "number" }, h("a", { class: "button", href: look(row) }, "View")),
    );
  }

  let network = null;
  async function findNetwork() {
    const jobs = await get("jobs");
    const trained = jobs.find(({ command, state }) => ["refine", "denoise"].includes(command) && state === "finished");
    network = trained ? `${trained.name}/network.safetensors` : null;
  }

  function drawActions() {
    redraw(actions, [star, network, [...selected], table.rows.length], () => {
      const idx = selected.size && selected.size < table.rows.length ? [...selected].join(",") : undefined;
      const form = (command) => ({
        program: "isonet",
        command,
        star_file: star,
        tomo_idx: command === "resize" ? undefined : idx,
        model: command === "predict" ? network : undefined,
      });
      return [
        ACTIONS.map(([command, text]) =>
          h("a", { class: `button ${command === "refine" ? "main" : ""}`, "data-do": command, href: here("new", form(command)) }, text),
        ),
        h("button", { class: "danger", disabled: !selected.size, onclick: remove }, "Remove from the table"),
        h("span", { class: "quiet small" }, selected.size ? `${selected.size} chosen` : "all tomograms"),
      ];
    });
  }

  async function remove() {
    const rows = table.rows.filter(({ index }) => selected.has(index)).map(({ number }) => number);
    if (!(await ask("Remove from the table?", `${rows.length} tomograms are taken out of ${star}. Their files stay.`, "Remove"))) return;
    selected.clear();
    const left = await attempt(() => post("table/remove", { name: star, rows, version: table.version }));
    if (left) show(left);
  }

  function show(found) {
    table = found;
    drawn = found.version;
    body.replaceChildren(...table.rows.map(line));
    list.replaceChildren(
      ...[
        table.relion5 && h("p", { class: "note" }, "This is RELION's own table. Edits are written into it; Save as makes a copy to work on."),
        h(
          "table",
          { id: "tomograms" },
          h("thead", {}, h("tr", {}, h("th"), h("th", {}, "#"), h("th", {}, "Tomogram"), h("th", {}, "Files"), COLUMNS.map(([, text]) => h("th", { class: "number" }, text)), h("th"))),
          body,
        ),
      ].filter(Boolean),
    );
    list.hidden = false;
    drawActions();
  }

  main.append(
    h(
      "div",
      { class: "row spread" },
      h("h1", {}, "Tomograms"),
      h("div", { class: "row" }, title, h("button", { "data-do": "open", onclick: open }, "Open"), h("button", { "data-do": "save-as", onclick: saveAs }, "Save as")),
    ),
    h("p", { class: "lead" }, "A STAR file of IsoNet, IsoNet2 or RELION 5. Values are changed in place; what commands make is noted in it."),
    list,
    h("div", { class: "row", style: { marginBottom: "18px" } }, actions),
    drop,
    ran,
  );
  ran.style.marginTop = "14px";
  list.hidden = true;
  await findNetwork();
  try {
    show(await get("table", { name: star }));
  } catch (error) {
    if (values.star || !/does not exist/.test(error.message)) main.prepend(h("p", { class: "error" }, error.message));
  }
  const timer = setInterval(async () => {
    const busy = document.hidden || document.querySelector("dialog") || document.activeElement?.matches(".cell, .wrong");
    if (busy || !table || body.querySelector(".wrong")) return;
    try {
      await findNetwork();
      const found = await get("table", { name: star });
      if (found.version !== drawn) show(found);
      else drawActions();
    } catch {
      // It is being written, or the interface was ended: the next look tells.
    }
  }, LOOK_AGAIN_MILLISECONDS);
  onLeave(() => clearInterval(timer));
}
