// The form of a command, drawn from the description of its configuration.

import { post } from "./api.js";
import { browse } from "./files.js";
import { h, newKey, notify } from "./dom.js";

const SETTLE_MILLISECONDS = 250;

function control(field, value, changed) {
  const common = { id: `field-${field.name}`, name: field.name, oninput: changed, onchange: changed };
  if (field.kind === "switch") {
    const box = h("input", { ...common, type: "checkbox" });
    box.checked = Boolean(value);
    return { element: box, read: () => box.checked };
  }
  if (field.kind === "choice") {
    const select = h(
      "select",
      common,
      field.choices.map((choice) => h("option", { value: choice }, choice || "automatic")),
    );
    select.value = value ?? "";
    return { element: select, read: () => select.value };
  }
  const short = field.kind === "integer" || field.kind === "number";
  const input = h("input", {
    ...common,
    type: "text",
    value: value ?? "",
    class: short ? "short" : "",
    inputmode: short ? "decimal" : undefined,
    spellcheck: "false",
    autocomplete: "off",
  });
  if (field.kind !== "path") return { element: input, read: () => input.value };
  const pick = async () => {
    const found = await browse({
      title: field.help,
      folders: true,
      create: field.output ? "" : null,
      start: "",
    });
    if (!found) return;
    input.value = found.names[0] ?? found.folder;
    changed();
  };
  return {
    element: h("div", { class: "pick" }, input, h("button", { type: "button", onclick: pick }, "Browse")),
    input,
    read: () => input.value,
  };
}

function boundsText({ ge, gt, le, lt }) {
  const low = ge !== undefined ? `at least ${ge}` : gt !== undefined ? `above ${gt}` : "";
  const high = le !== undefined ? `at most ${le}` : lt !== undefined ? `below ${lt}` : "";
  return [low, high].filter(Boolean).join(", ");
}

function placeControls(project, command, place) {
  const gpus = Object.entries(project.gpus);
  const chosen = new Set((place?.gpus ?? (command.devices && gpus.length ? [Number(gpus[0][0])] : [])).map(Number));
  const where = h("select", { id: "place", "aria-label": "Where" }, h("option", { value: "local" }, "this machine"));
  if (project.slurm.template) where.append(h("option", { value: "slurm" }, "SLURM"));
  where.value = place?.slurm ? "slurm" : "local";
  const wait = h("input", { type: "checkbox", id: "wait" });
  wait.checked = place?.wait ?? true;
  const boxes = command.devices
    ? gpus.map(([number, name]) => {
        const box = h("input", { type: "checkbox", value: number });
        box.checked = chosen.has(Number(number));
        return h("label", { class: "row small" }, box, `GPU ${number}`, h("span", { class: "quiet" }, name));
      })
    : [];
  const answers = project.slurm.fields.map((name) => [
    name,
    h("input", { type: "text", class: "short", value: place?.slurm?.[name] ?? "", "aria-label": name }),
  ]);
  const local = h(
    "div",
    {},
    boxes.length ? boxes : h("span", { class: "small quiet" }, command.devices ? "CPU (no GPU was found here)" : "CPU"),
    h("label", { class: "row small" }, wait, "wait until no other job uses it"),
  );
  const remote = h(
    "div",
    { class: "row" },
    answers.map(([name, input]) => h("label", { class: "small" }, `${name} `, input)),
  );
  const toggle = () => {
    local.hidden = where.value !== "local";
    remote.hidden = where.value === "local";
  };
  where.addEventListener("change", toggle);
  toggle();
  return {
    element: h("div", {}, h("div", { class: "row" }, where, local, remote)),
    read: () =>
      where.value === "slurm"
        ? { slurm: Object.fromEntries(answers.map(([name, input]) => [name, input.value])) }
        : {
            gpus: boxes.map((label) => label.querySelector("input")).filter((b) => b.checked).map((b) => Number(b.value)),
            wait: wait.checked,
          },
  };
}

export async function showForm({ main, values, project, here }) {
  const { program, command: name, key, ...given } = values;
  const command = project.programs[program]?.find((known) => known.command === name);
  if (!command) throw new Error(`${program ?? ""} ${name ?? ""} is no command.`);
  if (!key) {
    // The key stands in the address: whoever sends this very form again, from whatever window, starts nothing new.
    location.replace(here("new", { program, command: name, key: newKey(), ...given }));
    return;
  }
  const place = given.place ? JSON.parse(given.place) : null;
  const controls = new Map();
  const faults = new Map();
  const line = h("pre", { class: "command", id: "command-line" });
  const start = h("button", { class: "main", type: "submit", "data-do": "start" }, "Start");
  const whole = h("p", { class: "error", hidden: true });
  const touched = new Set();
  let timer = null;

  const read = () => Object.fromEntries([...controls].map(([field, own]) => [field, own.read()]));

  function mark(found, everything) {
    for (const [field, element] of faults) {
      const sentence = everything || touched.has(field) ? found[field] : undefined;
      element.textContent = sentence ?? "";
      const input = controls.get(field).input ?? controls.get(field).element;
      input.classList.toggle("wrong", Boolean(sentence));
      input.setAttribute("aria-invalid", Boolean(sentence));
    }
    const others = Object.entries(found).filter(([field]) => !faults.has(field));
    whole.hidden = !others.length;
    whole.textContent = others.map(([field, sentence]) => `${field} ${sentence}`).join(" ");
    const first = everything && form.querySelector(".wrong");
    if (first) {
      const fold = first.closest("details");
      if (fold) fold.open = true;
      first.focus();
    }
  }

  async function preview() {
    try {
      const { line: words, faults: found } = await post("preview", { program, command: name, values: read() });
      line.textContent = words ? words.map(quoted).join(" ") : "Fill in what is missing to see the command.";
      mark(found, false);
    } catch (error) {
      line.textContent = error.message;
    }
  }

  function changed(field) {
    touched.add(field.name);
    clearTimeout(timer);
    timer = setTimeout(preview, SETTLE_MILLISECONDS);
  }

  function draw(field) {
    const value = field.name in given ? fromText(field, given[field.name]) : field.default;
    const own = control(field, value, () => changed(field));
    const fault = h("div", { class: "fault", id: `fault-${field.name}` });
    controls.set(field.name, own);
    faults.set(field.name, fault);
    const bounds = boundsText(field.bounds);
    return [
      h("label", { for: `field-${field.name}` }, field.name, field.required && h("span", { class: "must" }, " *")),
      h(
        "div",
        {},
        own.element,
        fault,
        h("div", { class: "help" }, field.help, bounds && h("span", {}, ` (${bounds})`)),
      ),
    ];
  }

  async function submit(event) {
    event.preventDefault();
    start.disabled = true;
    try {
      const job = await post("start", { program, command: name, values: read(), place: where.read(), key });
      location.hash = here("job", { name: job.name });
    } catch (error) {
      if (Object.keys(error.faults).length) mark(error.faults, true);
      else {
        whole.hidden = false;
        whole.textContent = error.message;
        notify(error.message, true);
      }
      start.disabled = false;
    }
  }

  const usual = command.fields.filter((field) => field.usual || field.name in given);
  const rest = command.fields.filter((field) => !usual.includes(field));
  const where = placeControls(project, command, place);
  const form = h(
    "form",
    { onsubmit: submit, novalidate: true },
    whole,
    h("div", { class: "card" }, h("div", { class: "fields" }, usual.map(draw))),
    rest.length > 0 &&
      h(
        "details",
        { class: "card" },
        h("summary", {}, `Further options (${rest.length})`),
        h("div", { class: "fields" }, rest.map(draw)),
      ),
    h("div", { class: "card" }, h("h2", {}, "Where it runs"), where.element),
    h("div", { class: "card" }, h("h2", {}, "The command"), line),
    h("div", { class: "row" }, start, h("a", { class: "button", href: here("") }, "Cancel")),
  );
  const [summary, ...more] = command.summary.split("\n\n");
  main.append(
    h("h1", {}, title(program, name)),
    h("p", { class: "lead" }, summary, more.length > 0 && ` ${more.join(" ")}`),
    form,
  );
  await preview();
}

export const title = (program, name) => `${program}.py ${name}`;
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const fromText = (field, text) => (field.kind === "switch" ? text === "true" : text);
