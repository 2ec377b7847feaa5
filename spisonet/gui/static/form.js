// Form of a command, drawn from the description of its configuration.

import { RequestError, get, post } from "./api.js";
import { computeTargetControls } from "./compute_target.js";
import { browse } from "./files.js";
import { h, messageOf, newKey, notify } from "./dom.js";

const PREVIEW_DELAY_MILLISECONDS = 250;

/** @typedef {import("./records").Field} Field */
/** @typedef {import("./records").Form} Form */
/** @typedef {import("./records").FieldValues} FieldValues */
/** @typedef {Record<string, string>} Messages by field */
/** @typedef {{ element: HTMLElement, input: HTMLInputElement | HTMLSelectElement, read: () => string | boolean }} Control */

/**
 * @param {Field} field
 * @param {string | boolean | null} value
 * @param {() => void} changed
 * @returns {Control}
 */
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
    select.value = String(value ?? "");
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

/** @param {Field["bounds"]} bounds */
function boundsText({ ge, gt, le, lt, multiple_of: multiple }) {
  const low = ge !== undefined ? `at least ${ge}` : gt !== undefined ? `above ${gt}` : "";
  const high = le !== undefined ? `at most ${le}` : lt !== undefined ? `below ${lt}` : "";
  return [low, high, multiple ? `a multiple of ${multiple}` : ""].filter(Boolean).join(", ");
}

const GROUPS = [
  ["input", "Input"],
  ["usual", "What usually matters"],
  ["advanced", "Advanced"],
  ["compatibility", "Compatibility with IsoNet and spIsoNet"],
];
const OPEN_GROUPS = ["input", "usual"];

/** @param {string} message */
const sentence = (message) => message.charAt(0).toUpperCase() + message.slice(1);

/** The fields of a form in groups, with a place for an error message below each. */
class Fields {
  /**
   * @param {Form} form
   * @param {FieldValues} values
   * @param {(name: string) => void} changed
   */
  constructor(form, values, changed) {
    /** @type {Map<string, Control>} */
    this.controls = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.errorTexts = new Map();
    /** @param {Field} field */
    const valueOf = (field) => (field.name in values ? values[field.name] : field.default);
    const hidden = form.fields.find(({ name }) => name === "profile"); // set by buttons
    if (hidden) this.controls.set(hidden.name, control(hidden, valueOf(hidden), () => {}));
    /** @param {Field} field */
    const isChanged = (field) => field.name in values && values[field.name] !== field.default && !field.output;
    this.element = h(
      "div",
      {},
      GROUPS.map(([group, heading]) => {
        const fields = form.fields.filter((field) => field.group === group && field !== hidden);
        if (!fields.length) return null;
        const drawn = h("div", { class: "fields" }, fields.map((field) => this.draw(field, valueOf(field), changed)));
        if (OPEN_GROUPS.includes(group)) return h("section", { class: "card", "data-group": group }, h("h2", {}, heading), drawn);
        const open = fields.some(isChanged);
        return h("details", { class: "card", "data-group": group, open }, h("summary", {}, `${heading} (${fields.length})`), drawn);
      }),
    );
  }

  /**
   * @param {Field} field
   * @param {string | boolean | null} value
   * @param {(name: string) => void} changed
   */
  draw(field, value, changed) {
    const own = control(field, value, () => changed(field.name));
    const error = h("div", { class: "field-error", id: `error-${field.name}` });
    own.input.setAttribute("aria-describedby", `error-${field.name} help-${field.name}`);
    this.controls.set(field.name, own);
    this.errorTexts.set(field.name, error);
    const bounds = boundsText(field.bounds);
    return [
      h(
        "label",
        { for: `field-${field.name}` },
        field.label,
        field.required && h("span", { class: "required" }, " *"),
        h("span", { class: "option mono" }, `--${field.name}`),
      ),
      h("div", {}, own.element, error, h("div", { class: "help", id: `help-${field.name}` }, field.help, bounds && h("span", {}, ` (${bounds})`))),
    ];
  }

  /** @returns {FieldValues} */
  read() {
    return Object.fromEntries([...this.controls].map(([name, { read }]) => [name, read()]));
  }

  /** @param {FieldValues} values */
  set(values) {
    for (const [name, value] of Object.entries(values)) {
      const input = this.controls.get(name)?.input;
      if (!input) continue;
      if (input instanceof HTMLInputElement && input.type === "checkbox") input.checked = Boolean(value);
      else input.value = String(value ?? "");
    }
  }

  /**
   * Show messages below their fields and clear all others; returns the messages that belong to no field.
   *
   * @param {Messages} messages
   */
  showErrors(messages) {
    for (const [name, element] of this.errorTexts) {
      const message = messages[name];
      element.textContent = message ? sentence(message) : "";
      const input = this.controls.get(name)?.input;
      input?.classList.toggle("invalid", Boolean(message));
      input?.setAttribute("aria-invalid", String(Boolean(message)));
    }
    return Object.entries(messages).filter(([name]) => !this.errorTexts.has(name));
  }

  focusFirstError() {
    /** @type {HTMLElement | null} */
    const first = this.element.querySelector(".invalid");
    if (!first) return;
    const fold = first.closest("details");
    if (fold) fold.open = true;
    first.focus();
  }
}

/**
 * Buttons that select a profile and set its fields, with the estimated duration of its training.
 *
 * @param {Form} form
 * @param {Fields} fields
 * @param {(names: string[]) => void} changed
 */
function profileButtons(form, fields, changed) {
  const names = Object.keys(form.profiles);
  if (!names.length) return null;
  const buttons = names.map((name) => {
    const time = h("span", { class: "small quiet" });
    const apply = () => {
      fields.set(form.profiles[name]);
      changed(Object.keys(form.profiles[name]));
    };
    return { name, time, element: h("button", { type: "button", "data-profile": name, onclick: apply }, sentence(name), time) };
  });
  return {
    element: h("div", { class: "card" }, h("h2", {}, "Profile"), h("div", { class: "row", role: "group", "aria-label": "Profile" }, buttons.map(({ element }) => element))),
    /** @param {Record<string, import("./records").Estimate | null>} estimates */
    show: (estimates) => {
      for (const { name, time, element } of buttons) {
        const isSet = fields.controls.get("profile")?.read() === name;
        const found = estimates[name];
        if (found) time.textContent = `about ${roughly(found.seconds)}`;
        element.classList.toggle("on", isSet);
        element.setAttribute("aria-pressed", String(isSet));
      }
    },
  };
}

/**
 * A duration without more precision than an estimate has.
 *
 * @param {number} seconds
 */
function roughly(seconds) {
  /** @type {[string, number][]} */
  const units = [["day", 86400], ["h", 3600], ["min", 60]];
  const [unit, length] = units.find(([, limit]) => seconds >= 0.95 * limit) ?? ["min", 60];
  const number = Math.max(1, Number((seconds / length).toPrecision(seconds >= 10 * length ? 2 : 1)));
  return `${number} ${unit}${unit === "day" && number > 1 ? "s" : ""}`;
}

/** @param {import("./records").Estimate | null} estimate */
function estimateText(estimate) {
  if (!estimate) return "";
  const basis = estimate.basis ? `from the speed of ${estimate.basis}` : "roughly, from the speed of this machine; the next estimate uses that of this job";
  return `Training takes about ${roughly(estimate.seconds)} (${basis}).`;
}

/**
 * Values of a form that repeats a job, its compute target, and the error message of the field at fault.
 *
 * @param {string} name
 */
async function valuesOfJob(name) {
  /** @type {import("./records").JobDetails} */
  const { values, target, error } = await get("job", { name });
  /** @type {Messages} */
  const errors = error?.field ? { [error.field]: error.message } : {};
  return { values, target, errors };
}

/** @param {import("./records").PageContext} context */
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
  /** @type {Set<string>} */
  const edited = new Set();
  const fields = new Fields(form, { ...repeated.values, ...fromAddress }, changed);
  const target = computeTargetControls(project, form, repeated.target, () => changed());
  const profiles = profileButtons(form, fields, (names) => names.forEach(changed));
  const estimate = h("p", { class: "small", id: "estimate" });
  const line = h("pre", { class: "command", id: "command-line" });
  const start = h("button", { class: "main", type: "submit", "data-do": "start" }, "Start");
  const formError = h("p", { class: "error", hidden: true });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let nPreview = 0; // results of an earlier state of the form are not shown

  /** @param {Messages} messages */
  function showErrors(messages) {
    const others = fields.showErrors(messages);
    formError.hidden = !others.length;
    formError.textContent = others.map(([name, message]) => (name ? `${name}: ${message}` : message)).join(" ");
  }

  async function preview() {
    nPreview += 1;
    const own = nPreview;
    try {
      const previewed = await post("preview", { program, command, values: fields.read(), target: target.read() });
      if (own !== nPreview) return;
      const { line: words, field_errors: errors } = previewed;
      estimate.textContent = estimateText(previewed.estimate);
      estimate.hidden = !previewed.estimate;
      profiles?.show(previewed.profiles);
      line.textContent = words ? words.map(quoted).join(" ") : "Complete the form to see the command.";
      // Fields that the user has not edited yet show no error, except that of the job which is repeated.
      const shown = Object.entries(errors).filter(([name]) => edited.has(name) || !fields.errorTexts.has(name));
      const earlier = Object.entries(repeated.errors).filter(([name]) => !edited.has(name));
      showErrors(Object.fromEntries([...earlier, ...shown]));
    } catch (error) {
      if (own === nPreview) line.textContent = messageOf(error);
    }
  }

  /** @param {string} [name] */
  function changed(name) {
    if (name) edited.add(name);
    clearTimeout(timer);
    timer = setTimeout(preview, PREVIEW_DELAY_MILLISECONDS);
  }

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    start.disabled = true;
    try {
      const started = await post("start", { program, command, values: fields.read(), target: target.read(), key });
      location.hash = pageAddress("job", { name: started.name });
    } catch (error) {
      const fieldErrors = error instanceof RequestError ? error.fieldErrors : {};
      if (Object.keys(fieldErrors).length) {
        showErrors(fieldErrors);
        fields.focusFirstError();
      } else {
        formError.hidden = false;
        formError.textContent = messageOf(error);
        notify(messageOf(error), true);
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
      profiles?.element,
      fields.element,
      h("div", { class: "card" }, h("h2", {}, "Run on"), target.element),
      h("div", { class: "card" }, h("h2", {}, "Command"), line, estimate),
      h("div", { class: "row" }, start, h("a", { class: "button", href: pageAddress("") }, "Cancel")),
    ),
  );
  await preview();
  if (Object.keys(repeated.errors).length) fields.focusFirstError();
}

/** @param {string} program @param {string} command */
export const commandTitle = (program, command) => `${program}.py ${command}`;
/** @param {string} word */
export const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
