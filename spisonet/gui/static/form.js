// Form of a command, drawn from the description of its configuration.

import { get, post } from "./api.js";
import { computeTargetControls } from "./compute_target.js";
import { browse } from "./files.js";
import { h, newKey, notify } from "./dom.js";

const PREVIEW_DELAY_MILLISECONDS = 250;

function control(field, value, changed) {
  const common = { id: `field-${field.name}`, name: field.name, oninput: changed, onchange: changed };
  if (field.kind === "switch") {
    const box = h("input", { ...common, type: "checkbox" });
    box.checked = Boolean(value);
    return { element: box, input: box, read: () => box.checked };
  }
  if (field.kind === "choice") {
    const select = h(
      "select",
      common,
      field.choices.map((choice) => h("option", { value: choice }, choice || "automatic")),
    );
    select.value = value ?? "";
    return { element: select, input: select, read: () => select.value };
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
  if (field.kind !== "path") return { element: input, input, read: () => input.value };
  const choose = async () => {
    const found = await browse({ title: field.help, folders: true, create: field.output ? "" : null });
    if (!found) return;
    input.value = found.names[0] ?? found.folder;
    changed();
  };
  const element = h("div", { class: "path" }, input, h("button", { type: "button", onclick: choose }, "Browse"));
  return { element, input, read: () => input.value };
}

function boundsText({ ge, gt, le, lt }) {
  const low = ge !== undefined ? `at least ${ge}` : gt !== undefined ? `above ${gt}` : "";
  const high = le !== undefined ? `at most ${le}` : lt !== undefined ? `below ${lt}` : "";
  return [low, high].filter(Boolean).join(", ");
}

/** The fields of a form, with a place for an error message below each. */
class Fields {
  constructor(form, values, changed) {
    this.controls = new Map();
    this.errorTexts = new Map();
    const common = form.fields.filter((field) => field.common || field.name in values);
    const further = form.fields.filter((field) => !common.includes(field));
    const draw = (field) => this.draw(field, field.name in values ? values[field.name] : field.default, changed);
    this.element = h(
      "div",
      {},
      h("div", { class: "card" }, h("div", { class: "fields" }, common.map(draw))),
      further.length > 0 &&
        h(
          "details",
          { class: "card" },
          h("summary", {}, `Further options (${further.length})`),
          h("div", { class: "fields" }, further.map(draw)),
        ),
    );
  }

  draw(field, value, changed) {
    const own = control(field, value, () => changed(field.name));
    const error = h("div", { class: "field-error", id: `error-${field.name}` });
    this.controls.set(field.name, own);
    this.errorTexts.set(field.name, error);
    const bounds = boundsText(field.bounds);
    return [
      h("label", { for: `field-${field.name}` }, field.name, field.required && h("span", { class: "required" }, " *")),
      h("div", {}, own.element, error, h("div", { class: "help" }, field.help, bounds && h("span", {}, ` (${bounds})`))),
    ];
  }

  read() {
    return Object.fromEntries([...this.controls].map(([name, { read }]) => [name, read()]));
  }

  /** Show messages below their fields and clear all others; returns the messages that belong to no field. */
  showErrors(messages) {
    for (const [name, element] of this.errorTexts) {
      const message = messages[name];
      element.textContent = message ?? "";
      const { input } = this.controls.get(name);
      input.classList.toggle("invalid", Boolean(message));
      input.setAttribute("aria-invalid", Boolean(message));
    }
    return Object.entries(messages).filter(([name]) => !this.errorTexts.has(name));
  }

  focusFirstError() {
    const first = this.element.querySelector(".invalid");
    if (!first) return;
    const fold = first.closest("details");
    if (fold) fold.open = true;
    first.focus();
  }
}

/** Values of a form that repeats a job, its compute target, and the error message of the field at fault. */
async function valuesOfJob(name) {
  const { values, target, error } = await get("job", { name });
  return { values, target, errors: error?.field ? { [error.field]: error.message } : {} };
}

export async function showForm({ main, values, project, pageAddress }) {
  const { program, command, key, job, ...given } = values;
  const form = project.programs[program]?.find((known) => known.command === command);
  if (!form) throw new Error(`${program ?? ""} ${command ?? ""} is not a command.`);
  if (!key) {
    // The key is part of the address: submitting this form again, from any window, does not start a second job.
    location.replace(pageAddress("new", { program, command, key: newKey(), job, ...given }));
    return;
  }
  const repeated = job ? await valuesOfJob(job) : { values: {}, target: null, errors: {} };
  const switches = new Set(form.fields.filter(({ kind }) => kind === "switch").map(({ name }) => name));
  const fromAddress = Object.fromEntries(
    Object.entries(given).map(([name, text]) => [name, switches.has(name) ? text === "true" : text]),
  );
  const edited = new Set();
  const fields = new Fields(form, { ...repeated.values, ...fromAddress }, changed);
  const target = computeTargetControls(project, form, repeated.target);
  const line = h("pre", { class: "command", id: "command-line" });
  const start = h("button", { class: "main", type: "submit", "data-do": "start" }, "Start");
  const formError = h("p", { class: "error", hidden: true });
  let timer = null;

  function showErrors(messages) {
    const others = fields.showErrors(messages);
    formError.hidden = !others.length;
    formError.textContent = others.map(([name, message]) => `${name} ${message}`).join(" ");
  }

  async function preview() {
    try {
      const { line: words, field_errors: errors } = await post("preview", { program, command, values: fields.read() });
      line.textContent = words ? words.map(quoted).join(" ") : "Complete the form to see the command.";
      // Fields that the user has not edited yet show no error, except that of the job which is repeated.
      const shown = Object.entries(errors).filter(([name]) => edited.has(name) || !fields.errorTexts.has(name));
      const earlier = Object.entries(repeated.errors).filter(([name]) => !edited.has(name));
      showErrors(Object.fromEntries([...earlier, ...shown]));
    } catch (error) {
      line.textContent = error.message;
    }
  }

  function changed(name) {
    edited.add(name);
    clearTimeout(timer);
    timer = setTimeout(preview, PREVIEW_DELAY_MILLISECONDS);
  }

  async function submit(event) {
    event.preventDefault();
    start.disabled = true;
    try {
      const started = await post("start", { program, command, values: fields.read(), target: target.read(), key });
      location.hash = pageAddress("job", { name: started.name });
    } catch (error) {
      if (Object.keys(error.fieldErrors ?? {}).length) {
        showErrors(error.fieldErrors);
        fields.focusFirstError();
      } else {
        formError.hidden = false;
        formError.textContent = error.message;
        notify(error.message, true);
      }
      start.disabled = false;
    }
  }

  const [summary, ...more] = form.summary.split("\n\n");
  main.append(
    h("h1", {}, commandTitle(program, command)),
    h("p", { class: "lead" }, summary, more.length > 0 && ` ${more.join(" ")}`),
    h(
      "form",
      { onsubmit: submit, novalidate: true },
      formError,
      fields.element,
      h("div", { class: "card" }, h("h2", {}, "Run on"), target.element),
      h("div", { class: "card" }, h("h2", {}, "Command"), line),
      h("div", { class: "row" }, start, h("a", { class: "button", href: pageAddress("") }, "Cancel")),
    ),
  );
  await preview();
  if (Object.keys(repeated.errors).length) fields.focusFirstError();
}

export const commandTitle = (program, command) => `${program}.py ${command}`;
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
