// Selects the page to show; its name and values are in the address after the #.

import { get, onConnection } from "./api.js";
import { h, messageOf } from "./dom.js";
import { showForm } from "./form.js";
import { showJob } from "./job.js";
import { showProject } from "./jobs.js";
import { showMaps } from "./maps.js";
import { showRelion } from "./relion.js";
import { showTomograms } from "./tomograms.js";
import { setSettings } from "./settings.js";
import { showViewer } from "./viewer/page.js";

/** @typedef {import("./records").Project} Project */
/** @typedef {{ show: (context: import("./records").PageContext) => Promise<void>, title?: string }} Page */

/** @type {Record<string, Page>} */
const PAGES = {
  "": { show: showProject, title: "Project" },
  tomograms: { show: showTomograms, title: "Tomograms" },
  maps: { show: showMaps, title: "Maps" },
  relion: { show: showRelion, title: "RELION" },
  view: { show: showViewer, title: "View" },
  job: { show: showJob },
  new: { show: showForm },
};

/** @param {string} id */
function elementOf(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no element ${id}.`);
  return element;
}

let leavePage = () => {};

function currentPage() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { name, values: Object.fromEntries(new URLSearchParams(query)) };
}

/** @param {unknown} error */
const errorNotice = (error) => h("p", { class: "error" }, messageOf(error));

/** @type {import("./records").PageAddress} */
function pageAddress(name, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#/${name}${given.length ? `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}` : ""}`;
}

/**
 * @param {Project} project
 * @param {string} current
 */
function drawNavigation(project, current) {
  const links = Object.entries(PAGES).filter(([, page]) => page.title);
  elementOf("side").replaceChildren(
    h("div", { class: "brand" }, h("img", { src: "static/icon.svg", alt: "" }), "spisonet"),
    ...links.map(([name, page]) => h("a", { href: pageAddress(name), class: name === current ? "current" : "", "aria-current": name === current ? "page" : null }, page.title)),
    h("div", { class: "foot" }, h("b", {}, project.name), project.allowed_folders[0], h("div", {}, `version ${project.version}`)),
  );
}

/** @param {Project} project */
async function show(project) {
  leavePage();
  const { name, values } = currentPage();
  const page = PAGES[name] ?? PAGES[""];
  const main = h("main", { id: "page" });
  elementOf("page").replaceWith(main);
  document.title = `${page.title ?? values.name ?? values.command ?? "spisonet"} · ${project.name}`;
  drawNavigation(project, name);
  /** @type {import("./records").Cleanup[]} */
  const cleanups = [];
  leavePage = () => cleanups.forEach((cleanup) => cleanup());
  // Pages register what stops their timers. A page that loads after the user has moved on is cleaned up at once.
  /** @param {import("./records").Cleanup} cleanup */
  const onLeave = (cleanup) => {
    if (main.isConnected) cleanups.push(cleanup);
    else cleanup();
  };
  try {
    await page.show({ main, values, project, onLeave, pageAddress });
  } catch (error) {
    main.append(errorNotice(error));
  }
}

async function start() {
  try {
    const project = await get("project");
    setSettings(project.settings);
    window.addEventListener("hashchange", () => show(project));
    await show(project);
  } catch (error) {
    elementOf("page").replaceChildren(errorNotice(error));
  }
}

onConnection((text) => {
  const banner = elementOf("connection");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
});
start();
