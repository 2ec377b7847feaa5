from __future__ import annotations

import subprocess
import sys
import time

from spisonet.gui.processes import is_alive, process_identity, process_start


def test_a_reused_process_number_is_not_mistaken_for_the_process():
    me = process_identity()
    assert is_alive(me)
    assert not is_alive({**me, "start": "another boot:1"})
    assert not is_alive(None)


def test_an_ended_process_is_not_alive_even_as_a_zombie():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_identity(child.pid)
    assert is_alive(started)
    child.stdin.close()
    while process_start(child.pid) is not None:
        time.sleep(0.01)
    assert not is_alive(started)  # not waited for yet: a zombie
    child.wait()
