"""The halves meet if both are alive, and neither waits for the dead."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from relion_external import halves
from relion_external.call import read_call
from relion_external.halves import FileLock, JointWork


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(halves, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(halves, "PATIENCE_SECONDS", 0.6)


@pytest.fixture
def calls(make_job):
    job = make_job()
    return [read_call(job.write_call(3, f"_half{half}_class001")) for half in (1, 2)]


def test_both_halves_find_each_other_and_half_2_gets_the_result(tmp_path, calls):
    found, got = {}, []

    def first():
        joint = JointWork(tmp_path, calls[0], one_after_the_other=False)
        with joint as partner:
            found[1] = partner
            time.sleep(1.0)  # longer than patience: only signs of life keep half 2 waiting
            joint.done()

    def second():
        joint = JointWork(tmp_path, calls[1], one_after_the_other=False)
        with joint as partner:
            found[2] = partner
            got.append(joint.wait_for_result())

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {1: calls[1].star, 2: calls[0].star}
    assert got == [True]
    assert not list(tmp_path.glob("joint_*"))


def test_a_half_without_a_partner_goes_on_alone(tmp_path, calls):
    start = time.monotonic()
    with JointWork(tmp_path, calls[0], one_after_the_other=False) as partner:
        assert partner is None
    assert time.monotonic() - start < 5


def test_what_a_dead_run_left_is_no_partner(tmp_path, calls):
    (tmp_path / "joint_it003_class001_half2.txt").write_text(f"17\n{calls[1].star}")
    with JointWork(tmp_path, calls[0], one_after_the_other=False) as partner:
        assert partner is None


def test_half_2_notices_that_half_1_died_at_work(tmp_path, calls):
    joint = JointWork(tmp_path, calls[0], one_after_the_other=False)
    got = []

    def second():
        mine = JointWork(tmp_path, calls[1], one_after_the_other=False)
        with mine as partner:
            assert partner == calls[0].star
            got.append(mine.wait_for_result())

    thread = threading.Thread(target=second)
    other = threading.Thread(target=lambda: _live_for(joint, 0.5))
    other.start()
    thread.start()
    thread.join(10)
    other.join(10)
    assert got == [False]


def _live_for(joint: JointWork, seconds: float) -> None:
    with joint:
        time.sleep(seconds)


def test_halves_that_come_one_after_the_other_do_not_wait(tmp_path, calls):
    start = time.monotonic()
    for call in calls:
        with JointWork(tmp_path, call, one_after_the_other=True) as partner:
            assert partner is None
    assert time.monotonic() - start < 0.5


def test_other_iterations_do_not_meet(tmp_path, calls):
    later = replace(calls[1], iteration=4)
    got = {}

    def enter(call):
        with JointWork(tmp_path, call, one_after_the_other=False) as partner:
            got[call.iteration] = partner

    threads = [threading.Thread(target=enter, args=(call,)) for call in (calls[0], later)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == {3: None, 4: None}


def test_a_file_is_held_by_one_at_a_time(tmp_path):
    first, second = (FileLock(tmp_path / "a.lock") for _ in range(2))
    assert first.acquire(wait=False)
    assert not second.acquire(wait=False)
    first.release()
    assert second.acquire(wait=True)
    second.release()
