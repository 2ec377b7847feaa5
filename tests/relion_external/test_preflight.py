"""Findings of ``--check`` before iteration 1."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from relion_external.reconstruct import main
from spisonet.commands.main import main as spisonet
from spisonet.io.mrc import Volume, read_volume, write_volume
from tests.misalignment.accumulators import body_map, without_cone
from tests.relion_external.conftest import BOX, COMMAND, PIXEL

VARIABLE = "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE"


@pytest.fixture(autouse=True)
def exported(monkeypatch, tmp_path):
    program = tmp_path / "spisonet-relion-reconstruct"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    relion = tmp_path / "bin"
    relion.mkdir()
    (relion / "relion_refine").write_text("#!/bin/sh\necho 'RELION version: 3.1.3 '\n")
    (relion / "relion_refine").chmod(0o755)
    monkeypatch.setenv("PATH", f"{relion}:/usr/bin:/bin")
    (relion / "relion_refine_mpi").symlink_to(relion / "relion_refine")


def check(capsys, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit status and the findings by their codes."""
    with pytest.raises(SystemExit) as stop:
        main(["--check", "--json", *words])
    findings = json.loads(capsys.readouterr().out)
    assert all(set(finding) == {"level", "code", "message"} for finding in findings)
    found = {finding["code"]: finding for finding in findings}
    assert len(found) == len(findings)
    return int(stop.value.code or 0), found


def test_the_text_lists_every_finding_and_the_line_to_export(make_job, capsys):
    make_job()
    command = f"mpirun -n 3 relion_refine_mpi {COMMAND}"
    status, findings = check(capsys, command)
    assert status == 0
    assert {finding["level"] for finding in findings.values()} <= {"ok", "warning"}
    assert "32 voxels" in findings["boxes"]["message"]
    with pytest.raises(SystemExit) as stop:
        main(["--check", command])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(finding["message"] in text for finding in findings.values())
    assert f"export {VARIABLE}=" in text
    assert "ERROR" not in text


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            lambda c: c.replace("--external_reconstruct", ""),
            "external_reconstruct_missing",
            "lacks --external_reconstruct",
        ),
        (lambda c: f"{c} --blush", "blush", "--blush overrides"),
        (
            lambda c: c.replace("mask.mrc", "nomask.mrc"),
            "map_not_readable",
            "--solvent_mask: nomask.mrc does not exist",
        ),
    ],
)
def test_faults_of_the_command_are_errors(make_job, capsys, change, code, message):
    make_job()
    status, findings = check(capsys, change(f"relion_refine_mpi {COMMAND}"))
    assert status == 1
    assert findings[code]["level"] == "error"
    assert message in findings[code]["message"]


def test_a_mask_of_another_box_is_an_error(make_job, capsys):
    job = make_job()
    volume = read_volume(job.project / "mask.mrc")
    write_volume(job.project / "mask.mrc", volume.with_data(volume.data[:24, :24, :24]))
    status, findings = check(capsys, f"relion_refine_mpi {COMMAND}")
    assert status == 1
    assert "mask has a box of 24 voxels, the reference one of 32" in findings["box_mismatch"]["message"]


def test_the_class_of_the_initial_reference_is_found(make_job, capsys, monkeypatch):
    make_job()
    command = f"relion_refine_mpi {COMMAND}"
    assert check(capsys, command)[1]["reference_trusted"]["level"] == "ok"
    write_volume(Path("ref.mrc"), Volume(without_cone(body_map(BOX), 40.0), PIXEL))
    status, findings = check(capsys, command)
    assert status == 0
    assert findings["reference_anisotropic"]["level"] == "warning"
    assert "not kept unless ISONET_KEEP_LOWRES=yes" in findings["reference_anisotropic"]["message"]
    monkeypatch.setenv("ISONET_KEEP_LOWRES", "yes")
    assert "is kept because" in check(capsys, command)[1]["reference_anisotropic"]["message"]
    monkeypatch.setenv("ISONET_KEEP_LOWRES", "no")
    assert not any(code.startswith("reference") for code in check(capsys, command)[1])


def test_command_and_version_are_read_from_a_job_folder(make_job, capsys):
    make_job("5.0")
    status, findings = check(capsys, "Refine3D/job007")
    assert status == 1
    assert "3.1.3 is on PATH, but RELION 5.0.1" in findings["relion_version_mismatch"]["message"]
    assert findings["external_reconstruct"]["level"] == "ok"


def test_a_job_that_has_not_run_yet_is_read_from_its_note(make_job, capsys):
    job = make_job()
    folder = job.project / "Refine3D" / "job009"
    folder.mkdir()
    (folder / "note.txt").write_text(f"++++ new run\n`which relion_refine_mpi` {COMMAND}\n")
    status, findings = check(capsys, "Refine3D/job009")
    assert status == 0
    assert "external_reconstruct" in findings
    (folder / "note.txt").unlink()
    status, findings = check(capsys, "Refine3D/job009")
    assert status == 1
    assert list(findings) == ["invalid_input"]
    with pytest.raises(SystemExit) as stop:
        main(["--check", "Refine3D/job009"])
    assert stop.value.code == 1
    assert capsys.readouterr().out == ""


def test_the_variable_and_the_settings_are_checked(make_job, capsys, monkeypatch):
    make_job()
    monkeypatch.setenv("ISONET_BETTA", "1")
    monkeypatch.delenv(VARIABLE)
    status, findings = check(capsys)
    assert status == 1
    assert findings["variable_missing"]["level"] == "error"
    assert "did you mean BETA" in findings["invalid_option"]["message"]
    monkeypatch.setenv(VARIABLE, "/nowhere/program")
    assert check(capsys)[1]["variable_not_executable"]["level"] == "error"
    monkeypatch.delenv("ISONET_BETTA")
    monkeypatch.setenv("ISONET_JOINT", "True")
    assert check(capsys)[1]["halves_not_independent"]["level"] == "warning"
    monkeypatch.setenv("ISONET_DEVICE", "cuda:77")
    assert "ISONET_DEVICE" in check(capsys)[1]["device_not_available"]["message"]


def test_several_hosts_need_the_variable_too(make_job, capsys, monkeypatch):
    make_job()
    command = f"mpirun --hostfile hosts -n 3 relion_refine_mpi {COMMAND}"
    code = "variable_not_exported_to_hosts"
    assert f"add -x {VARIABLE}" in check(capsys, command)[1][code]["message"]
    assert code not in check(capsys, command.replace("-n 3", f"-x {VARIABLE} -n 3"))[1]
    monkeypatch.setenv("SLURM_NNODES", "2")
    assert code in check(capsys, f"mpirun relion_refine_mpi {COMMAND}")[1]


def test_version_5_needs_the_flag_again_on_continue(make_job, capsys, tmp_path):
    make_job()
    words = "relion_refine_mpi --o Refine3D/job007/run --continue run_it002_optimiser.star"
    assert "restores --external_reconstruct" in check(capsys, words)[1]["external_reconstruct"]["message"]
    (tmp_path / "bin" / "relion_refine").write_text("#!/bin/sh\necho 'RELION version: 5.0.1'\n")
    status, findings = check(capsys, words)
    assert status == 1
    assert "external_reconstruct_missing" in findings


def test_a_program_in_a_folder_with_a_blank_has_to_be_quoted_twice(tmp_path, capsys, monkeypatch):
    program = tmp_path / "my programs" / "spisonet-relion-reconstruct"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    monkeypatch.setenv("CONDA_ENV", "spisonet")
    _, findings = check(capsys)
    assert "contains a blank" in findings["variable_unquoted"]["message"]
    assert "CONDA_ENV has no effect" in findings["obsolete_variables"]["message"]
    line = findings["variable_unquoted"]["message"].partition("export ")[2]
    shown = subprocess.run(
        ["sh", "-c", f'{line}; printf %s "$' + VARIABLE + '"'], capture_output=True, text=True
    )
    monkeypatch.setenv(VARIABLE, shown.stdout)
    assert "variable" in check(capsys)[1]


FORM = """
# version 50001

data_job

_rlnJobTypeLabel             relion.{kind}
_rlnJobIsContinue                       {continued}
_rlnJobIsTomo                           0


# version 50001

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
  do_blush         {blush}
do_solvent_fsc        Yes
   fn_cont         {fn_cont}
    fn_img particles.star
   fn_mask mask.mrc
    fn_ref ref.mrc
  ini_high         30
nr_classes          2
    nr_mpi          3
   nr_iter         25
other_args         "{other}"
  sampling "7.5 degrees"
  sym_name         C1
   use_gpu         No
"""


def schedule(
    kind: str, other: str = "--external_reconstruct", blush: str = "No", fn_cont: str = '""'
) -> None:
    """Write the folder of a job that RELION's GUI has scheduled."""
    folder = Path("Refine3D/job011")
    folder.mkdir(exist_ok=True)
    continued = int(fn_cont != '""')
    form = FORM.format(kind=kind, other=other, blush=blush, fn_cont=fn_cont, continued=continued)
    (folder / "job.star").write_text(form)


def test_a_scheduled_job_is_read_from_its_form(make_job, capsys):
    make_job()
    schedule("refine3d")
    status, findings = check(capsys, "Refine3D/job011")
    assert status == 0
    assert findings["external_reconstruct"]["level"] == "ok"
    assert "32 voxels" in findings["boxes"]["message"]
    assert "reference_trusted" in findings
    assert "the last one, which joins the halves, keeps RELION's map" in findings["iterations"]["message"]
    schedule("refine3d", other="", blush="Yes")
    status, findings = check(capsys, "Refine3D/job011")
    assert status == 1
    assert {"blush", "external_reconstruct_missing"} <= set(findings)


def test_the_form_decides_what_happens_by_iteration(make_job, capsys, monkeypatch):
    make_job()
    schedule("class3d")
    assert "the last one (25) keeps" in check(capsys, "Refine3D/job011")[1]["iterations"]["message"]
    schedule("initialmodel")
    status, findings = check(capsys, "Refine3D/job011")
    assert status == 1
    assert findings["gradient_refinement"]["level"] == "error"
    schedule("refine3d.tomo", other="--external_reconstruct --tomograms tomograms.star")
    assert check(capsys, "Refine3D/job011")[1]["subtomograms"]["level"] == "warning"
    monkeypatch.setenv("ISONET_SUBTOMOGRAMS", "True")
    monkeypatch.setenv("ISONET_START_RESOLUTION", "12")
    found = check(capsys, "Refine3D/job011")[1]
    assert "subtomograms" not in found
    assert "resolution is better than 12 Å" in found["iterations"]["message"]
    schedule("postprocess")
    status, findings = check(capsys, "Refine3D/job011")
    assert status == 1
    assert "job of type postprocess" in findings["invalid_input"]["message"]


def test_files_of_an_optimisation_set_are_looked_for(make_job, capsys):
    make_job()
    schedule("refine3d.tomo", other="--external_reconstruct --ios optimisation_set.star")

    def found() -> tuple[str, str]:
        finding = check(capsys, "Refine3D/job011")[1]["optimisation_set"]
        return finding["level"], finding["message"]

    assert found() == ("error", "--ios: optimisation_set.star does not exist.")
    Path("optimisation_set.star").write_text("data_\n\n_rlnTomoParticlesFile particles.star\n")
    assert found() == ("error", "--ios: optimisation_set.star is not an optimisation set")
    with Path("optimisation_set.star").open("a") as file:
        file.write("_rlnTomoTomogramsFile Tomograms/job003/tomograms.star\n")
    assert "particles.star, listed as rlnTomoParticlesFile in optimisation_set.star, does not" in found()[1]
    Path("particles.star").touch()
    assert "listed as rlnTomoTomogramsFile in optimisation_set.star, does not exist" in found()[1]
    Path("Tomograms/job003").mkdir(parents=True)
    tilts = "data_TS_01\n\nloop_\n_rlnTomoProjZ #1\n[0,0,1,0]\n"
    Path("Tomograms/job003/tomograms.star").write_text(tilts)
    assert found() == ("ok", "Particles and tomograms: particles.star, Tomograms/job003/tomograms.star")


def test_blush_of_an_earlier_run_is_not_restored(make_job, capsys):
    job = make_job("5.0")
    job.write_iteration(2, f"{COMMAND} --blush")
    again = "relion_refine_mpi --o Refine3D/job007/run --continue Refine3D/job007/run_it002_optimiser.star "
    again += "--external_reconstruct"
    assert "blush" not in check(capsys, again)[1]
    assert check(capsys, f"{again} --blush")[1]["blush"]["level"] == "error"


def test_a_continued_form_takes_the_rest_from_the_start(make_job, capsys):
    make_job()
    schedule("refine3d", fn_cont="Refine3D/job007/run_it002_optimiser.star")
    status, findings = check(capsys, "Refine3D/job011")
    assert status == 0
    assert "32 voxels" in findings["boxes"]["message"]
    assert findings["external_reconstruct"]["message"].startswith("--external_reconstruct is given")


def test_a_scheduled_continuation_of_the_same_job_is_read_before_its_old_files(make_job, capsys, tmp_path):
    job = make_job("5.0")
    (tmp_path / "bin" / "relion_refine").write_text("#!/bin/sh\necho 'RELION version: 5.0.1'\n")
    schedule("refine3d", other="", blush="Yes", fn_cont="Refine3D/job007/run_it002_optimiser.star")
    form = job.folder / "job.star"
    Path("Refine3D/job011/job.star").rename(form)
    later = (job.folder / "run_it002_optimiser.star").stat().st_mtime + 60
    os.utime(form, (later, later))
    status, findings = check(capsys, "Refine3D/job007")
    assert status == 1
    assert {"blush", "external_reconstruct_missing", "boxes"} <= set(findings)
    os.utime(form, (later - 120, later - 120))  # the continuation has run since
    assert "external_reconstruct" in check(capsys, "Refine3D/job007")[1]


def test_a_job_that_was_continued_takes_the_rest_from_its_start(make_job, capsys):
    job = make_job()
    continued = "--continue Refine3D/job007/run_it002_optimiser.star"
    words = f"--o Refine3D/job007/run_ct2 {continued} --external_reconstruct"
    job.write_iteration(3, words, root="run_ct2")
    status, findings = check(capsys, "Refine3D/job007")
    assert status == 0
    assert "joins the halves" in findings["iterations"]["message"]
    assert "no_mask" not in findings


def test_a_job_that_kept_its_last_optimiser_only_is_read(make_job, capsys):
    job = make_job()
    (job.folder / "run_it002_optimiser.star").rename(job.folder / "run_optimiser.star")
    for path in job.folder.glob("run_it*_optimiser.star"):
        path.unlink()
    status, findings = check(capsys, "Refine3D/job007")
    assert status == 0
    assert "boxes" in findings


def test_the_check_is_a_command_of_spisonet(make_job, capsys):
    make_job()
    schedule("refine3d")
    spisonet(["relion", "check", "Refine3D/job011", "--as_json"])
    assert {finding["code"] for finding in json.loads(capsys.readouterr().out)} >= {"iterations", "boxes"}
    schedule("initialmodel")
    with pytest.raises(SystemExit) as stop:
        spisonet(["relion", "check", "Refine3D/job011"])
    assert stop.value.code == 1
    assert "refinement by gradients" in capsys.readouterr().out
