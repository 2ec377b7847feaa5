// The project's jobs, and one job.

import { address, get, post } from "./api.js";
import { lineChart } from "./chart.js";
import { ask, attempt, badge, baseName, duration, facts, h, moment, redraw, size } from "./dom.js";
import { quoted, title } from "./form.js";

const LOOK_AGAIN_MILLISECONDS = 1500;
const ACTIVE = ["queued", "running"];
const REPORTS = /report|summary|diagnos/;

function every(milliseconds, onLeave, action) {
  let ended = false;
  const again = async () => {
    if (!document.hidden) await action();
    if (!ended) setTimeout(again, milliseconds);
  };
  onLeave(() => (ended = true));
  setTimeout(again, milliseconds);
}

function progressBar(progress) {
  if (!progress) return null;
  const share = (100 * progress.epoch) / progress.of;
  const left = progress.seconds_left ? `, ${duration(progress.seconds_left)} left` : "";
  return h(
    "div",
    { title: `epoch ${progress.epoch} of ${progress.of}${left}` },
    h("div", { class: "bar" }, h("i", { style: { width: `${share}%` } })),
    h("span", { class: "small quiet" }, `epoch ${progress.epoch}/${progress.of}${left}`),
  );
}

export async function showProject({ main, project, onLeave, here }) {
  const body = h("tbody");
  const table = h(
    "table",
    { id: "jobs" },
    h("thead", {}, h("tr", {}, ["Job", "Command", "Input", "State", "Progress", "Time", "Started"].map((t) => h("th", {}, t)))),
    body,
  );
  const empty = h(
    "div",
    { class: "card" },
    h("h2", {}, "Nothing has been run in this folder yet"),
    h(
      "div",
      { class: "steps" },
      [
        ["tomograms", "Tomograms", "Add tomograms, deconvolve and mask them, train, predict, look."],
        ["maps", "Maps", "Half maps with preferred orientation: measure the anisotropy, correct it, report."],
        ["relion", "RELION", "Correct the reference in every iteration of a refinement."],
      ].map(([name, heading, text]) =>
        h("div", { class: "step" }, h("h3", {}, heading), h("p", { class: "quiet" }, text), h("a", { class: "button", href: here(name) }, "Begin")),
      ),
    ),
  );
  const list = h("div", { class: "card" }, table);
  const commands = h(
    "select",
    {
      "aria-label": "Start a command",
      onchange: () => {
        const [program, command] = commands.value.split(" ");
        location.hash = here("new", { program, command });
      },
    },
    h("option", { value: "" }, "Start a command …"),
    Object.entries(project.programs).map(([program, known]) =>
      h("optgroup", { label: `${program}.py` }, known.map(({ command }) => h("option", { value: `${program} ${command}` }, command))),
    ),
  );
  main.append(
    h("div", { class: "row spread" }, h("h1", {}, project.name), commands),
    h("p", { class: "lead" }, "Every job is a folder of the project, whether it was started here or on the command line."),
    list,
    empty,
  );

  const rows = new Map();
  function row(job) {
    const [state, progress, time] = [h("td"), h("td"), h("td", { class: "number" })];
    const where = here("job", { name: job.name });
    const element = h(
      "tr",
      { class: "link", onclick: () => (location.hash = where) },
      h("td", {}, h("a", { href: where }, job.name === "." ? project.name : job.name)),
      h("td", {}, job.command),
      h("td", { class: "small quiet", title: job.inputs.join(", ") }, job.inputs.map(baseName).join(", ")),
      state,
      progress,
      time,
      h("td", { class: "small" }, moment(job.asked ?? job.written)),
    );
    const update = (now) => {
      redraw(state, now.state, () => badge(now.state));
      redraw(progress, now.progress, () => progressBar(now.progress));
      time.textContent = duration(now.seconds);
    };
    return { element, update };
  }

  async function refresh() {
    const jobs = await get("jobs");
    list.hidden = !jobs.length;
    empty.hidden = Boolean(jobs.length);
    for (const job of jobs) {
      if (!rows.has(job.name)) rows.set(job.name, row(job));
      rows.get(job.name).update(job);
    }
    redraw(body, jobs.map(({ name }) => name), () => jobs.map(({ name }) => rows.get(name).element));
  }
  await refresh();
  every(LOOK_AGAIN_MILLISECONDS, onLeave, () => attempt(refresh));
}

function curve(job) {
  const series = new Map();
  for (const { title: name, epoch, loss } of job.epochs) {
    if (!series.has(name)) series.set(name, []);
    const points = series.get(name);
    const again = points.findIndex(([x]) => x >= epoch); // it was resumed
    if (again >= 0) points.length = again;
    if (loss !== null) points.push([epoch, loss]); // of a training that went astray
  }
  if (!series.size && job.losses) series.set("", job.losses.map((loss, index) => [index + 1, loss]).filter(([, loss]) => loss !== null));
  const drawn = [...series].map(([name, points]) => ({ name, points })).filter(({ points }) => points.length > 1);
  const last = job.epochs[job.epochs.length - 1];
  return drawn.length ? lineChart(drawn, { xTitle: "epoch", yTitle: "loss", xMax: last?.of }) : null;
}

function resultLine(result, here) {
  const url = address("file", { name: result.name });
  const open = {
    volume: () => h("a", { class: "button", href: here("view", { name: result.name }) }, "View"),
    image: () => h("a", { class: "button", href: url, target: "_blank" }, "Open"),
    page: () => h("a", { class: "button", href: url, target: "_blank" }, "Open"),
    table: () => h("a", { class: "button", href: here("tomograms", { star: result.name }) }, "Open"),
    text: () => h("a", { class: "button", href: url, target: "_blank" }, "Open"),
  }[result.kind];
  return h(
    "tr",
    {},
    h("td", { class: "mono" }, result.name),
    h("td", { class: "number quiet" }, size(result.bytes)),
    h("td", { class: "small quiet" }, moment(result.modified)),
    h("td", { class: "number" }, open?.(), " ", h("a", { class: "button", href: address("file", { name: result.name, keep: true }) }, "Download")),
  );
}

/** The newest of the previews, and all other pictures. */
function pictures(images) {
  const previews = images.filter(({ name }) => baseName(name).startsWith("preview_"));
  const others = images.filter((image) => !previews.includes(image));
  return [...previews.slice(-1), ...others].map(({ name, modified }) => {
    const url = address("file", { name, version: modified });
    return h(
      "figure",
      {},
      h("a", { href: url, target: "_blank" }, h("img", { src: url, alt: baseName(name) })),
      h("figcaption", {}, baseName(name)),
    );
  });
}

export async function showJob({ main, values, onLeave, here }) {
  const { name } = values;
  let job = await get("job", { name });
  let position = -1;
  const state = h("span", { id: "state" });
  const actions = h("div", { class: "row" });
  const progress = h("div", { class: "card", hidden: true });
  const log = h("pre", { class: "log", id: "log", tabindex: 0 });
  const gallery = h("div", { class: "gallery" });
  const galleryCard = h("div", { class: "card" }, h("h2", {}, "Pictures"), gallery);
  const results = h("tbody", { id: "results" });
  const report = h("div", { class: "card", hidden: true });
  const about = h("div", { class: "card" });
  const time = h("span");

  const act = (what, after) => async (event) => {
    event.target.disabled = true;
    await attempt(async () => {
      await what();
      await after();
    });
    event.target.disabled = false;
  };

  async function remove() {
    const total = job.results.reduce((sum, { bytes }) => sum + bytes, 0);
    const sure = await ask(
      `Delete ${job.name}?`,
      `Its folder with ${job.results.length} files (${size(total)}) is deleted from the disk, for good.`,
      "Delete",
    );
    if (!sure) return;
    await post("delete", { name });
    location.hash = here("");
  }

  function actionsNow() {
    const active = ACTIVE.includes(job.state);
    const clone = here("new", {
      program: job.program,
      command: job.command,
      ...job.values,
      place: job.place ? JSON.stringify(job.place) : undefined,
    });
    return [
      active && h("button", { class: "danger", "data-do": "stop", onclick: act(() => post("stop", { name }), refresh) }, "Stop"),
      job.resumable && h("button", { class: "main", "data-do": "resume", onclick: act(() => post("resume", { name }), refresh) }, "Resume"),
      h("a", { class: "button", href: clone, "data-do": "clone" }, "Clone with changes"),
      job.started_here && !active && h("button", { class: "danger", "data-do": "delete", onclick: act(remove, async () => {}) }, "Delete"),
    ];
  }

  function aboutNow() {
    const chosen = Object.entries(job.config).filter(([, value]) => value !== null && value !== false);
    const inputs = job.inputs.map((input) =>
      h("div", {}, /\.\w+$/.test(input) ? input : h("a", { href: here("job", { name: input }) }, input)),
    );
    return [
      h("h2", {}, "About"),
      facts([
        ["Input", inputs.length ? h("span", {}, inputs) : null],
        ["Asked for", moment(job.asked ?? job.written)],
        ["Time", time],
        ["Host", job.host],
        ["SLURM job", job.slurm],
        ["GPUs", job.place?.gpus?.join(", ")],
        ["Version", job.version],
      ]),
      h("details", {}, h("summary", {}, "All options"), facts(chosen.map(([key, value]) => [key, String(value)]))),
    ];
  }

  function draw() {
    const last = job.epochs[job.epochs.length - 1];
    redraw(state, job.state, () => badge(job.state));
    redraw(actions, [job.state, job.resumable], actionsNow);
    progress.hidden = !last && !job.losses;
    redraw(progress, [job.epochs, job.losses], () => [h("h2", {}, "Training"), progressBar(last), curve(job)]);
    const shown = job.results.filter(({ kind }) => kind === "image");
    galleryCard.hidden = !shown.length;
    redraw(gallery, shown, () => pictures(shown));
    redraw(results, job.results, () => job.results.map((result) => resultLine(result, here)));
    const pages = job.results.filter(({ kind, name: file }) => kind === "page" && REPORTS.test(baseName(file)));
    report.hidden = !pages.length;
    redraw(report, pages, () => [
      h("h2", {}, "Report"),
      h("iframe", { class: "report", title: "Report", src: pages.length ? address("file", { name: pages[0].name }) : null }),
    ]);
    time.textContent = duration(job.seconds);
    redraw(about, [job.state, job.config, job.host, job.slurm], aboutNow);
  }

  async function readLog() {
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    const part = await get("log", { name, offset: position });
    position = part.next;
    if (part.text) log.append(part.text);
    if (atEnd) log.scrollTop = log.scrollHeight;
    if (part.more) await readLog();
  }

  async function refresh() {
    job = await get("job", { name });
    draw();
    await readLog();
  }

  main.append(
    h("div", { class: "row spread" }, h("h1", {}, job.name, " ", state), actions),
    h("p", { class: "lead" }, title(job.program, job.command)),
    job.line && h("pre", { class: "command" }, job.line.map(quoted).join(" ")),
    h("div", { class: "two", style: { marginTop: "18px" } }, h("div", {}, progress, h("div", { class: "card" }, h("h2", {}, "Log"), log)), about),
    galleryCard,
    report,
    h("div", { class: "card" }, h("h2", {}, "Files"), h("table", {}, results)),
  );
  draw();
  await readLog();
  every(LOOK_AGAIN_MILLISECONDS, onLeave, () => attempt(refresh));
}
