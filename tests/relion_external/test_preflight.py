"""What ``--check`` finds before iteration 1."""

from __future__ import annotations

import pytest

from relion_external.reconstruct import main
from spisonet.io.mrc import read_volume, write_volume
from tests.relion_external.conftest import COMMAND

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


def check(capsys, *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main(["--check", *words])
    return int(stop.value.code or 0), capsys.readouterr().out


def test_a_sound_command_passes_and_the_line_to_export_is_printed(make_job, capsys):
    make_job()
    status, text = check(capsys, f"mpirun -n 3 relion_refine_mpi {COMMAND}")
    assert status == 0
    assert "ERROR" not in text
    assert f"export {VARIABLE}=" in text
    assert "32 voxels" in text


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.replace("--external_reconstruct", ""), "lacks --external_reconstruct"),
        (lambda c: f"{c} --blush", "--blush takes the place"),
        (lambda c: c.replace("mask.mrc", "nomask.mrc"), "nomask.mrc does not exist"),
    ],
)
def test_what_would_go_wrong_is_an_error(make_job, capsys, change, complaint):
    make_job()
    status, text = check(capsys, change(f"relion_refine_mpi {COMMAND}"))
    assert status == 1
    assert complaint in text


def test_a_mask_of_another_box_is_found(make_job, capsys):
    job = make_job()
    volume = read_volume(job.project / "mask.mrc")
    write_volume(job.project / "mask.mrc", volume.with_data(volume.data[:24, :24, :24]))
    status, text = check(capsys, f"relion_refine_mpi {COMMAND}")
    assert status == 1
    assert "mask has a box of 24 voxels, the reference one of 32" in text


def test_a_job_folder_tells_its_command_and_version(make_job, capsys):
    make_job("5.0")
    status, text = check(capsys, "Refine3D/job007")
    assert status == 1
    assert "RELION 3.1.3 is on PATH, but the job was made by 5.0.1" in text
    make_version = check(capsys, "Refine3D/job007")[1]
    assert "--external_reconstruct is given" in make_version


def test_a_job_that_has_not_run_yet_is_read_from_its_note(make_job, capsys):
    job = make_job()
    folder = job.project / "Refine3D" / "job009"
    folder.mkdir()
    (folder / "note.txt").write_text(f"++++ new run\n`which relion_refine_mpi` {COMMAND}\n")
    assert check(capsys, "Refine3D/job009")[0] == 0
    (folder / "note.txt").unlink()
    with pytest.raises(SystemExit) as stop:
        main(["--check", "Refine3D/job009"])
    assert stop.value.code == 1


def test_the_variable_and_the_settings_are_looked_at(make_job, capsys, monkeypatch):
    make_job()
    monkeypatch.setenv("ISONET_BETTA", "1")
    monkeypatch.delenv(VARIABLE)
    status, text = check(capsys)
    assert status == 1
    assert "is not exported" in text
    assert "did you mean BETA" in text
    monkeypatch.setenv(VARIABLE, "/nowhere/program")
    assert "cannot be run" in check(capsys)[1]


def test_several_hosts_need_the_variable_too(make_job, capsys, monkeypatch):
    make_job()
    command = f"mpirun --hostfile hosts -n 3 relion_refine_mpi {COMMAND}"
    assert f"add -x {VARIABLE}" in check(capsys, command)[1]
    assert "add -x" not in check(capsys, command.replace("-n 3", f"-x {VARIABLE} -n 3"))[1]
    monkeypatch.setenv("SLURM_NNODES", "2")
    assert "several hosts" in check(capsys, f"mpirun relion_refine_mpi {COMMAND}")[1]


def test_version_5_needs_the_flag_again_on_continue(make_job, capsys, tmp_path):
    make_job()
    words = "relion_refine_mpi --o Refine3D/job007/run --continue run_it002_optimiser.star"
    assert "keeps --external_reconstruct" in check(capsys, words)[1]
    (tmp_path / "bin" / "relion_refine").write_text("#!/bin/sh\necho 'RELION version: 5.0.1'\n")
    status, text = check(capsys, words)
    assert status == 1
    assert "lacks --external_reconstruct" in text
