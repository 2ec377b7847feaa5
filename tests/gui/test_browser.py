"""The interface in a browser, with real jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from spisonet.io.imod import read_contours
from spisonet.io.tomogram_table import TomogramTable
from tests.gui.browser import SECONDS, Page, open_page, start_browser
from tests.gui.conftest import ACTIVE, Server, end, serve
from tests.tomography.simulation import slab_of_rods, with_missing_wedge, write_mrc

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = pytest.mark.browser
SHAPE = (24, 48, 64)
TINY = {"filter_base": "4", "cube_size": "16", "n_subvolume": "16", "ncpus": "1"}
OPTIMISER = "# RELION optimiser; version 3.1.3\n# --o Refine3D/job007/run --auto_refine --i particles.star\n"
DROP = """
const file = (name, size) => ({ isFile: true, name, file: (ok) => ok({ size }) });
const folder = (name, entries) => ({ isDirectory: true, name, createReader: () => {
  let left = [entries, []];
  return { readEntries: (ok) => ok(left.shift()) };
} });
const dropped = folder("full", [file("TS_01.mrc", arguments[0])]);
const event = new Event("drop", { cancelable: true });
event.dataTransfer = { items: [{ webkitGetAsEntry: () => dropped }] };
document.getElementById("drop").dispatchEvent(event);
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    started = start_browser()
    yield started
    started.quit()


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Server]:
    """A project with two tomograms and their halves, and two half maps."""
    project = tmp_path_factory.mktemp("browser") / "project"
    for name, seed in (("TS_01", 0), ("TS_02", 1)):
        truth = slab_of_rods(SHAPE, 60, seed)
        halves = [with_missing_wedge(truth, 1.0, 10 * seed + half) for half in range(2)]
        for kind, data in (("even", halves[0]), ("odd", halves[1]), ("full", halves[0] + halves[1])):
            write_mrc(project / "data" / kind / f"{name}.mrc", data.astype(np.float32))
    example = Path(__file__).parents[2] / "examples" / "hemagglutinin"
    for name in ("half1", "half2", "mask"):
        with mrcfile.open(example / f"{name}.mrc") as mrc:
            small = mrc.data.astype(np.float32).reshape((32, 2) * 3).mean(axis=(1, 3, 5))
        write_mrc(project / f"{name}.mrc", small, 5.2)
    started = serve(project)
    yield started
    for job in started.get("api/jobs").json:
        if job["state"] in ACTIVE:
            started.post("api/stop", {"name": job["name"]})
            started.wait(job["name"])
    end(started)


@pytest.fixture
def page(driver, served) -> Iterator[Page]:
    with open_page(driver, served) as opened:
        yield opened


def table(page: Page) -> list[dict[str, str]]:
    return [dict(row.values) for row in TomogramTable.read(page.server.project / "tomograms.star").rows]


def n_epochs(job: dict) -> int:
    """Completed epochs of training."""
    return max((stage["done"] for stage in job["stages"] if stage["stage"] == "training"), default=0)


def list_tomograms(page: Page, name: str) -> None:
    added = page.server.post("api/table/add", {"name": name, "folder": "data"})
    assert added.status == 200, added.content


def test_tomograms_from_the_folder_to_the_picture(page, monkeypatch):
    monkeypatch.chdir(page.server.project)
    page.open("tomograms")
    page.click("#drop [data-do=browse]")
    page.choose("data", "")
    page.fill("#add-tilt_min", "-58")
    page.click("[data-do=add]")
    page.find("#tomograms tbody tr:nth-child(2)")
    page.find("#added-by", "isonet.py prepare_star data --tilt_min")

    # Edited in place: an invalid value is flagged below its cell, then a valid one is saved.
    page.fill("[data-cell='0-rlnDefocus']", "much" + Keys.ENTER)
    assert page.find("td .field-error", "much is not a valid number").is_displayed()
    page.fill("[data-cell='0-rlnDefocus']", "25000" + Keys.ENTER)
    page.wait_for("!document.querySelector('td .invalid')")
    page.fill("[data-cell='1-rlnDefocus']", "24000" + Keys.ENTER)
    deadline = time.monotonic() + SECONDS
    while [row["rlnDefocus"] for row in table(page)] != ["25000", "24000"]:
        assert time.monotonic() < deadline
    assert [row["rlnTiltMin"] for row in table(page)] == ["-58", "-58"]

    # An invalid value is flagged below its field, and nothing is started.
    page.click("[data-do=deconv]")
    page.fill_form(snrfalloff="-1")
    page.click("[data-do=start]")
    assert page.find("#error-snrfalloff", "given").text == "Must be at least 0; -1 was given."
    assert "invalid" in page.find("#field-snrfalloff").get_attribute("class")
    assert page.server.get("api/jobs").json == []
    page.fill_form(snrfalloff="0.7")
    page.find("#command-line", "isonet.py deconv tomograms.star")
    name = page.start()
    page.finish()
    assert [row["rlnDeconvTomoName"] for row in table(page)] == [f"{name}/TS_0{n}.mrc" for n in (1, 2)]

    for command, values in (
        ("make_mask", {}),
        ("refine", {**TINY, "epochs": "3", "method": None}),
        ("predict", {}),
    ):
        page.open("tomograms")
        page.click(f"[data-do={command}]")
        page.find("#command-line", f"isonet.py {command} tomograms.star")
        page.fill_form(**{key: value for key, value in values.items() if value})
        page.start()
        page.finish()
        if command == "refine":
            page.find(".chart canvas")
            page.find(".gallery img")
    corrected = [row["rlnCorrectedTomoName"] for row in table(page)]
    assert all(Path(file).is_file() for file in corrected)

    # View before and after: all three planes have the size of the tomogram.
    page.open("tomograms")
    page.click("#tomograms tbody tr:first-child .button", "View")
    for axis, (width, height) in {"z": (64, 48), "y": (64, 24), "x": (24, 48)}.items():
        image = f"document.querySelector('[data-axis={axis}] img')"
        page.wait_for(f"{image}?.naturalWidth === {width} && {image}.naturalHeight === {height}")
    assert page.find("[data-axis=z] .divider").is_displayed()
    page.wait_for("document.querySelectorAll('[data-axis=z] img')[1].naturalWidth === 64")


def test_a_dropped_folder_is_added_without_an_upload(page):
    size = (page.server.project / "data/full/TS_01.mrc").stat().st_size
    page.open("tomograms?star=dropped.star")
    page.find("#drop")
    page.driver.execute_script(DROP, size)
    page.find("dialog .mono", "data/full")
    page.click("[data-do=add]")
    page.find("#tomograms tbody tr:nth-child(2)")
    assert (page.server.project / "dropped.star").is_file()


def test_half_maps_to_the_report(page):
    page.open("maps")
    page.click("[data-choose=half1]")
    page.choose("half1.mrc")
    for name in ("half1", "half2", "mask"):  # the other half and the mask are proposed
        page.find(f"#selected-{name}", f"{name}.mrc")
    where = "maps"  # the chosen maps are remembered
    assert page.find("[data-step=diagnose]").is_displayed()
    page.click("[data-step=fsc3d] .button")
    page.fill_form(limit_res="14", cone_sampling_angle="20")
    measured = page.start()
    page.finish()
    page.open(where)
    page.find("#selected-aniso", f"{measured}/FSC3D.mrc")
    page.click("[data-step=reconstruct] .button")
    page.fill_form(**TINY, epochs="1", limit_res="14")
    page.find("#command-line", f"--aniso_file {measured}/FSC3D.mrc")
    corrected = page.start()
    page.finish()
    page.find("iframe.report")
    assert page.find("#results tr").text.startswith(f"{corrected}/corrected_full.mrc")
    page.open(where)
    assert page.find("#view-full-map").get_attribute("href").endswith("corrected_full.mrc")
    page.click("[data-step=report] .button")
    page.find("#command-line", f"spisonet.py report {corrected}")
    reported = page.start()
    page.finish()
    page.driver.switch_to.frame(page.find("iframe.report"))
    assert page.find("h1").text
    page.driver.switch_to.default_content()
    assert (page.server.project / reported / "report.html").is_file()


def test_stop_resume_clone_and_delete(page):
    list_tomograms(page, "stopping.star")
    page.open("new?program=isonet&command=refine&star_file=stopping.star")
    page.fill_form(**TINY, epochs="2000")
    for name in ("with_predict", "preview"):
        page.click(f"#field-{name}")
    name = page.start()
    page.server.wait(name, lambda job: n_epochs(job) > 2)
    page.find(".bar i")
    page.find("[data-stage=training]", "of 600 epochs")  # that denoise, before those that fill
    page.find("#log", "epoch 2 of 600")
    page.open("")
    page.find("#jobs tbody tr:first-child .bar")
    page.click("#jobs tbody tr:first-child a")
    page.click("[data-do=stop]")
    page.finish("stopped")
    before = n_epochs(page.server.get("api/job", name=name).json)
    page.click("[data-do=resume]")
    page.server.wait(name, lambda job: n_epochs(job) > before + 1)
    page.find("#state .badge", "running")
    page.click("[data-do=stop]")
    page.finish("stopped")
    page.click("[data-do=clone]")
    assert page.find("#field-epochs").get_attribute("value") == "2000"
    assert page.find("#field-output_dir").get_attribute("value") == "{job}"
    assert not page.driver.find_element(By.ID, "field-preview").is_selected()
    page.open(f"job?name={name}")
    page.click("[data-do=delete]")
    page.click("dialog button", "Cancel")
    assert (page.server.project / name).is_dir()
    page.click("[data-do=delete]:enabled")
    page.find("dialog p", "moved into the trash")
    page.click("dialog [data-do=confirm]")
    page.find("h1", "project")
    assert not (page.server.project / name).exists()
    page.click("#notices [data-do=notice-action]")  # undo
    page.find("#jobs tbody a", name)
    assert (page.server.project / name / "job.json").is_file()
    assert page.server.post("api/delete", {"name": name}).status == 200
    page.open("")
    page.click("[data-do=trash]")
    page.click("[data-do=empty-trash]")
    page.click("[data-do=confirm]")
    page.find("dialog td", "The trash is empty.")
    assert not list((page.server.project / "jobs" / ".trash").iterdir())


def test_a_form_open_in_two_windows_starts_one_job(page):
    page.open("new?program=spisonet&command=whitening&h1=half1.mrc&high_res=12&low_res=40")
    page.find("#command-line", "half1.mrc")
    address = page.driver.current_url
    assert "key=" in address
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.driver.get(address)
    page.find("#command-line", "half1.mrc")
    name = page.start()
    page.finish()
    page.driver.close()
    page.driver.switch_to.window(first)
    assert page.start() == name
    assert [job["name"] for job in page.server.get("api/jobs").json].count(name) == 1


def test_slices_boundary_and_power_spectrum(page):
    list_tomograms(page, "viewing.star")
    page.open("view?name=data/full/TS_01.mrc&star=viewing.star&row=0")
    pane = page.find("[data-axis=z]")
    page.wait_for("document.querySelector('[data-axis=z]').dataset.shown?.includes('index=12')")
    page.driver.execute_script("arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -1}))", pane)
    page.wait_for("document.querySelector('[data-axis=z]').dataset.shown.includes('index=13')")
    page.driver.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerenter'))", pane)
    ActionChains(page.driver).send_keys(Keys.ARROW_DOWN).perform()
    page.wait_for("document.querySelector('[data-axis=z]').dataset.shown.includes('index=12')")

    # A click moves the other planes to the same point.
    width, height = pane.size["width"], pane.size["height"]
    x, y = round((16.5 / 64 - 0.5) * width), round((0.5 - 36.5 / 48) * height)
    ActionChains(page.driver).move_to_element_with_offset(pane, x, y).click().perform()
    page.wait_for("document.querySelector('[data-axis=x]').dataset.shown.includes('index=16')")
    page.wait_for("document.querySelector('[data-axis=y]').dataset.shown.includes('index=36')")  # y is up

    # A boundary of four corners is saved as a model and entered in the table.
    page.click("[data-do=boundary]")
    for right, down in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        place = ActionChains(page.driver)
        place.move_to_element_with_offset(pane, right * width // 4, down * height // 4).click().perform()
    page.find("#contour-text", "1 closed contour")
    page.click("[data-do=save-boundary]")
    page.find("#notices", "entered it in viewing.star")
    (contour,) = read_contours(page.server.project / "boundary" / "TS_01.mod")
    corners = [[15.5, 35.5], [47.5, 35.5], [47.5, 11.5], [15.5, 11.5]]
    np.testing.assert_allclose(contour[:, :2], corners, atol=0.6)
    assert set(contour[:, 2]) == {12}
    page.open("tomograms?star=viewing.star")
    page.find(".chip", "boundary")

    page.open("view?name=data/full/TS_01.mrc")
    page.click("[data-do=power]")
    page.wait_for("document.querySelector('[data-axis=y]').dataset.shown?.includes('power')")
    page.click("[data-do=invert]")


def shown(page: Page, axis: str, text: str, volume: int = 0) -> None:
    """Wait until the address of the picture in a pane contains a text."""
    pane = f"document.querySelector('[data-axis={axis}][data-volume=\"{volume}\"]')"
    page.wait_for(f"{pane}.dataset.shown?.includes('{text}')")


def test_keys_zoom_contrast_and_the_density_under_the_pointer(page):
    page.open("view?name=half1.mrc&half2=half2.mrc&second=half1.mrc")
    page.find(".tools .name", "mean of half1.mrc and half2.mrc")
    shown(page, "z", "averaged_with=half2.mrc")
    for key, index in ((Keys.HOME, 0), (Keys.PAGE_UP, 10), (Keys.ARROW_UP, 11), (Keys.END, 31)):
        ActionChains(page.driver).send_keys(key).perform()
        shown(page, "z", f"index={index}&")

    pane = page.find("[data-axis=z] .content")
    bar = page.find("[data-axis=z] .scale-bar").text
    assert bar.endswith("Å") or bar.endswith("nm")
    ActionChains(page.driver).send_keys("+" * 4).perform()
    page.find("#zoom", "244 %")
    assert pane.size["width"] > 2 * page.find("[data-axis=z]").size["width"]
    assert page.find("[data-axis=z] .scale-bar").text != bar
    ActionChains(page.driver).send_keys("0").perform()
    page.find("#zoom", "100 %")

    ActionChains(page.driver).move_to_element_with_offset(page.find("[data-axis=z]"), 3, -3).perform()
    page.find("#readout dd", "σ")
    x, y, z = (int(n) - 1 for n in page.find("#readout dd").text.split(", "))
    with mrcfile.open(page.server.project / "half1.mrc") as mrc:
        density = float(page.find("#readout dd:last-of-type", "σ").text.split()[0])
        assert density == pytest.approx(mrc.data[z, y, x], rel=1e-3)

    page.fill("[data-contrast=low]", "-0.25" + Keys.ENTER)
    shown(page, "y", "low=-0.25&")
    ActionChains(page.driver).click(page.find("[data-handle=high]")).send_keys(Keys.ARROW_RIGHT).perform()
    before = float(page.find("[data-contrast=high]").get_attribute("value"))
    ActionChains(page.driver).send_keys(Keys.ARROW_RIGHT).perform()
    assert float(page.find("[data-contrast=high]").get_attribute("value")) > before

    page.click("[data-do=side-by-side]")
    shown(page, "y", "name=half1.mrc", volume=1)
    page.wait_for("document.querySelectorAll('.pane:not([hidden])').length === 6")


def test_the_spectrum_has_axes_and_slices_are_coloured_by_the_inferred_fraction(page):
    list_tomograms(page, "wedge.star")
    page.open("view?name=data/full/TS_01.mrc&star=wedge.star")
    page.click("[data-do=power]")
    page.find("[data-axis=y] .spectrum text", "Nyquist")
    page.wait_for("document.querySelectorAll('.spectrum .wedge').length === 2")
    folder = page.server.project / "coloured"
    with mrcfile.open(page.server.project / "half1.mrc") as mrc:
        write_mrc(folder / "corrected.mrc", mrc.data.copy(), 5.2)
    fraction = np.zeros((32, 32, 32), np.float32)
    fraction[:16] = 1
    write_mrc(folder / "inferred_fraction.mrc", fraction, 5.2)
    page.open("view?name=coloured/corrected.mrc")
    page.click("[data-do=fraction]")
    page.find("[data-axis=z] img.fraction")
    assert "fraction=coloured" in page.driver.current_url
    page.find(".fraction-bar", "inferred (100 %)")


def test_a_surface_is_drawn(page):
    page.open("view?name=half1.mrc&second=half2.mrc")
    page.click("[data-do=surface]")
    page.wait_for("document.getElementById('surface').dataset.drawn === '2'")
    page.find(".surface-title", "kDa of protein")
    page.wait_for("document.querySelectorAll('.surface[data-drawn]').length === 2")
    ActionChains(page.driver).send_keys(Keys.PAGE_DOWN).perform()
    page.wait_for("document.getElementById('surface').dataset.drawn === '1.9'")
    colours = (
        "(() => { const gl = document.getElementById('surface').getContext('webgl2'),"
        " p = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);"
        " gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, p);"
        " let bright = 0; for (let i = 1; i < p.length; i += 4) bright += p[i] > 70;"
        " return 4 * bright / p.length; })()"
    )
    assert 0.01 < page.driver.execute_script(f"return {colours}") < 0.6


def test_relions_page_shows_a_running_refinement(page):
    job = page.server.project / "Refine3D" / "job007"
    (job / "spisonet").mkdir(parents=True)
    for iteration in (1, 2):
        optimiser = job / f"run_it{iteration:03d}_optimiser.star"
        optimiser.write_text(OPTIMISER, encoding="utf-8")
    page.open("relion")
    line = page.find("#export-line").text
    assert line.startswith("export RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE=/")
    assert Path(line.partition("=")[2]).is_file()
    page.find("td", "Refine3D/job007")
    metrics = {"resolution_angstrom": 12.5, "seconds": 31.0, "inferred_fraction": 0.21}
    for half in ("half1", "half2"):
        record = {
            "iteration": 3,
            "half": half,
            "part": "class001",
            "status": "corrected",
            "reason_code": "",
            "reason": "",
            "halves": "independent",
            "metrics": metrics,
        }
        (job / "spisonet" / f"it003_{half}_class001.json").write_text(json.dumps(record), encoding="utf-8")
    page.find("#iterations td", "half2: corrected in 31 s, 21 % of the power inferred")  # refreshed by itself
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#strip .cell-corrected[role]")) == 2
    rows = [
        {
            "iteration": iteration,
            "part": "class001",
            "corrections": [],
            "best_direction_angstrom": 8.0,
            "worst_direction_angstrom": 14.0 - iteration,
            "view_histogram": [[0.0, 1.5], [2.0, 0.5]],
        }
        for iteration in (1, 2)
    ]
    summary = {"program": "spisonet", "rows": rows}
    (job / "spisonet" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    page.find("#views svg[aria-label*='25 % of the directions']")
    page.find(".live-chart [aria-label='resolution, Å by iteration']")
    page.click("[data-do=check]")
    page.find("#findings .badge", "error")
    page.find("#findings td", "--external_reconstruct")


def test_the_page_of_an_empty_project_links_to_the_first_steps(driver, tmp_path):
    server = serve(tmp_path)
    try:
        page = Page(driver, server)
        page.open()
        page.find("h2", "Nothing has been run")
        page.click(".step .button", "Open")
        page.find("h1", "Tomograms")
    finally:
        end(server)


def test_an_unreadable_map_is_reported(page):
    (page.server.project / "broken.mrc").write_bytes(b"nothing")
    page.open("view?name=broken.mrc")
    page.find(".error", "broken.mrc")
    page.open("view?name=../other.mrc")
    page.find(".error", "--allowed_folders")


def test_a_failed_job_shows_its_error_and_the_next_form_flags_the_field(page):
    folder = page.server.project / "failed"
    folder.mkdir()
    record = {
        "program": "spisonet",
        "command": "reconstruct",
        "config": {"i1": "half1.mrc", "i2": "half2.mrc", "limit_res": 900.0, "output_dir": "failed"},
        "status": "failed",
        "error": {"message": "The limit is above the box.", "code": "invalid_option", "field": "limit_res"},
    }
    (folder / "job.json").write_text(json.dumps(record), encoding="utf-8")
    page.open("job?name=failed")
    page.find("#job-error", "The limit is above the box. (option --limit_res)")
    page.click("[data-do=clone]")
    page.find("#error-limit_res", "The limit is above the box.")
    assert "invalid" in page.find("#field-limit_res").get_attribute("class")
    page.fill_form(limit_res="14")
    page.wait_for("!document.querySelector('#field-limit_res').classList.contains('invalid')")
