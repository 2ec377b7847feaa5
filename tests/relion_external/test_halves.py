"""Joint correction: the halves find each other, and do not wait for a process that has ended."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from relion_external import halves
from relion_external.call import read_call
from relion_external.halves import JointCorrection
from spisonet.io.locks import FileLock


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(halves, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(halves, "HEARTBEAT_TIMEOUT_SECONDS", 0.6)


@pytest.fixture
def calls(make_job):
    job = make_job()
    return [read_call(job.write_call(3, f"_half{half}_class001")) for half in (1, 2)]


def test_both_halves_find_each_other_and_half_2_gets_the_result(tmp_path, calls):
    found, got = {}, []

    def first():
        joint = JointCorrection(tmp_path, calls[0], sequential=False)
        with joint as partner:
            found[1] = partner
            time.sleep(1.0)  # longer than the timeout: half 2 waits because of the heartbeat
            joint.announce_result()

    def second():
        joint = JointCorrection(tmp_path, calls[1], sequential=False)
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


def test_a_half_without_the_other_is_corrected_by_itself(tmp_path, calls):
    start = time.monotonic()
    with JointCorrection(tmp_path, calls[0], sequential=False) as partner:
        assert partner is None
    assert time.monotonic() - start < 5


def test_a_heartbeat_file_of_an_earlier_run_is_ignored(tmp_path, calls):
    (tmp_path / "joint_it003_class001_half2.txt").write_text(f"17\n{calls[1].star}")
    with JointCorrection(tmp_path, calls[0], sequential=False) as partner:
        assert partner is None


def test_half_2_stops_waiting_when_half_1_ends(tmp_path, calls):
    joint = JointCorrection(tmp_path, calls[0], sequential=False)
    got = []

    def second():
        mine = JointCorrection(tmp_path, calls[1], sequential=False)
        with mine as partner:
            assert partner == calls[0].star
            got.append(mine.wait_for_result())

    thread = threading.Thread(target=second)
    other = threading.Thread(target=lambda: _enter_for(joint, 0.5))
    other.start()
    thread.start()
    thread.join(10)
    other.join(10)
    assert got == [False]


def _enter_for(joint: JointCorrection, seconds: float) -> None:
    with joint:
        time.sleep(seconds)


def test_sequential_halves_do_not_wait(tmp_path, calls):
    start = time.monotonic()
    for call in calls:
        with JointCorrection(tmp_path, call, sequential=True) as partner:
            assert partner is None
    assert time.monotonic() - start < 0.5


def test_other_iterations_do_not_meet(tmp_path, calls):
    later = replace(calls[1], iteration=4)
    got = {}

    def enter(call):
        with JointCorrection(tmp_path, call, sequential=False) as partner:
            got[call.iteration] = partner

    threads = [threading.Thread(target=enter, args=(call,)) for call in (calls[0], later)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == {3: None, 4: None}


def test_a_file_is_locked_by_one_at_a_time(tmp_path):
    first, second = (FileLock(tmp_path / "a.lock") for _ in range(2))
    assert first.acquire(wait=False)
    assert not second.acquire(wait=False)
    first.release()
    assert second.acquire(wait=True)
    second.release()
