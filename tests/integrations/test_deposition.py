"""The folder of an EMDB deposition: unmodified half maps, FSC, and what must not be uploaded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib.image
import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.integrations.deposition import fsc_xml
from spisonet.io.mrc import read_volume, write_volume
from tests.integrations.emdb_fsc import faults_of


@pytest.fixture(scope="module")
def deposit(deconvolved_run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("deposit")
    main(["deposit", str(deconvolved_run.folder), "-o", str(folder)])
    return folder


def test_half_maps_are_copied_byte_by_byte(deposit, deconvolved_run):
    case = deconvolved_run.case
    for number, half in enumerate((case.half1, case.half2), start=1):
        assert (deposit / f"half_map_{number}.mrc").read_bytes() == half.read_bytes()


def test_primary_and_additional_maps(deposit, deconvolved_run):
    case, run = deconvolved_run.case, deconvolved_run.folder
    average = (read_volume(case.half1).data + read_volume(case.half2).data) / 2
    primary = read_volume(deposit / "primary_map.mrc")
    np.testing.assert_allclose(primary.data, average, rtol=1e-6)
    assert primary.origin_angstrom == (4.0, -8.0, 12.0)
    corrected = (run / "corrected_full.mrc").read_bytes()
    assert (deposit / "additional_map_1.mrc").read_bytes() == corrected
    sharpened = (run / "corrected_full_sharpened.mrc").read_bytes()
    assert (deposit / "additional_map_2.mrc").read_bytes() == sharpened


def test_the_fsc_is_that_of_the_uncorrected_half_maps(deposit, deconvolved_run):
    root = ET.parse(deposit / "fsc.xml").getroot()
    x, y = ([float(point.findtext(axis)) for point in root] for axis in "xy")
    box_angstrom = 24 * 2.0
    np.testing.assert_allclose(x, np.arange(13) / box_angstrom, atol=1e-6)
    main_record = json.loads((deconvolved_run.folder / "report.json").read_text(encoding="utf-8"))
    shown = main_record["fsc_by_direction"]["before"]["resolution_0143_angstrom"]
    record = json.loads((deposit / "deposit.json").read_text(encoding="utf-8"))
    assert record["resolution_0143_angstrom"] == shown or shown is None
    assert y[0] == 1
    assert faults_of((deposit / "fsc.xml").read_bytes()) == []


def test_the_text_states_what_is_inferred_and_what_not_to_upload(deposit):
    text = " ".join((deposit / "README.txt").read_text(encoding="utf-8").split())
    assert "was inferred by spisonet" in text
    assert "corrected_half1.mrc, corrected_half2.mrc as half maps" in text
    files = json.loads((deposit / "deposit.json").read_text(encoding="utf-8"))["files"]
    written = {path.name for path in deposit.iterdir()} - {"README.txt", "deposit.json"}
    assert written == set(files)


def test_the_image_has_the_size_that_the_archive_asks_for(deposit):
    assert matplotlib.image.imread(deposit / "image.png").shape[:2] == (500, 500)


def test_a_corrected_half_is_not_accepted_as_a_half_map(deconvolved_run, tmp_path, capsys):
    case, folder = deconvolved_run.case, deconvolved_run.folder
    halves = [str(folder / f"corrected_half{number}.mrc") for number in (1, 2)]
    words = ["--mask", str(case.mask), "--aniso_file", str(case.fsc3d), "--method", "deconvolve"]
    words += ["--limit_res", "6", "--no-report", "--output_dir", str(tmp_path / "second")]
    main(["reconstruct", *halves, *words])
    with pytest.raises(SystemExit):
        main(["deposit", str(tmp_path / "second")])
    message = capsys.readouterr().err
    assert "corrected_half1.mrc is a corrected map, by its header label" in message
    assert not (tmp_path / "second" / "deposit").exists()


def test_a_folder_without_postprocess_files_is_named(deconvolved_run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["deposit", str(deconvolved_run.folder), "--postprocess", str(tmp_path)])
    assert "is not a finished PostProcess job: it lacks postprocess.mrc" in capsys.readouterr().err


@pytest.mark.relion
def test_relions_postprocess_gives_sharpened_map_and_mask_and_the_same_xml(
    deconvolved_run, tmp_path, monkeypatch
):
    case = deconvolved_run.case
    monkeypatch.chdir(tmp_path)
    for half in (1, 2):  # RELION needs a box that is not too small, and a mean of 0
        volume = read_volume(case.folder / f"half{half}.mrc")
        write_volume(Path(f"run_half{half}_class001_unfil.mrc"), volume)
    Path("PostProcess").mkdir()
    words = ["--i", "run_half1_class001_unfil.mrc", "--mask", str(case.mask), "--adhoc_bfac", "-50"]
    words += ["--o", "PostProcess/postprocess", "--angpix", "2", "--force_mask"]
    subprocess.run(["relion_postprocess", *words], check=True, capture_output=True)
    main(["deposit", str(deconvolved_run.folder), "--postprocess", "PostProcess", "-o", "deposit"])
    sharpened = Path("PostProcess/postprocess.mrc").read_bytes()
    assert Path("deposit/primary_map.mrc").read_bytes() == sharpened
    assert json.loads(Path("deposit/deposit.json").read_text())["b_factor_square_angstrom"] == -50
    ours, theirs = (
        ET.parse(path).getroot() for path in ("deposit/fsc.xml", "PostProcess/postprocess_fsc.xml")
    )
    assert faults_of(Path("PostProcess/postprocess_fsc.xml").read_bytes()) == []
    assert faults_of(Path("deposit/fsc.xml").read_bytes()) == []
    frequencies = [[float(point.findtext("x")) for point in root][1:] for root in (ours, theirs)]
    np.testing.assert_allclose(*frequencies, atol=1e-5)  # RELION writes 1/999 for the first, which is 0


def test_characters_of_xml_are_escaped():
    root = ET.fromstring(fsc_xml(np.array([1.0, 0.5]), 100.0, is_masked=False))
    assert [point.findtext("x") for point in root] == ["0.000000", "0.010000"]
    assert "unmasked" in root.attrib["title"]


GOOD = fsc_xml(np.array([1.0, 0.9, -0.1]), 100.0, is_masked=True)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"</fsc>", b"", "not well-formed"),
        (b"<fsc ", b'<fsc xmlns="http://www.ebi.ac.uk" ', "root"),
        (b"xaxis", b"x-axis", "attributes"),
        (b"Resolution (A-1)", b"Spatial frequency", "xaxis"),
        (b"<x>0.010000</x>", b"", "point 1"),
        (b"<x>0.010000</x>", b"<x>nan</x>", "point 1"),
        (b"0.010000", b"0.030000", "x does not increase"),
        (b"0.900000", b"1.100000", "y outside"),
    ],
)
def test_the_check_of_the_fsc_file_finds_faults(old, new, fault):
    assert faults_of(GOOD) == []
    changed = GOOD.replace(old, new)
    assert changed != GOOD
    assert faults_of(changed)[0].startswith(fault)


def test_files_as_other_programs_write_them_have_no_faults():
    """Attributes and elements as Bsoft and Scipion write them, with values of this test."""
    points = "".join(
        f"<coordinate>\n<x>{x}</x>\n<y>{y}</y>\n</coordinate>\n" for x, y in [(0, 1), (0.1, 0.5)]
    )
    axes = 'xaxis="Resolution (A-1)" yaxis="Correlation Coefficient"'
    bsoft = f'<?xml version="1.0" encoding="UTF-8"?>\n<fsc title="FSC Plot" {axes}>\n{points}</fsc>\n'
    scipion = f'<fsc title="FSC(volume)" {axes}>\n{points}</fsc>\n'
    assert [faults_of(text.encode()) for text in (bsoft, scipion)] == [[], []]
