"""A name on disk tells which process made it, and whether that has ended."""

import os
import subprocess
import sys

from contimg_assets.radio.process_marks import maker_has_ended, marked, process_identity, was_made_by

#: A process that prints a name with its mark, and waits until it is killed.
MAKER = """
import sys, time
from contimg_assets.radio.processes import die_with_parent
from contimg_assets.radio.process_marks import marked
die_with_parent()
print(marked("image-0123456789ab"), flush=True)
time.sleep(600)
"""


def test_a_name_is_of_a_living_process_until_that_has_ended() -> None:
    mine = marked("image-0123456789ab")
    assert mine.startswith("image-0123456789ab.")
    assert not maker_has_ended(mine)
    identity = process_identity(os.getpid())
    assert identity is not None
    assert was_made_by(mine, os.getpid(), identity)
    with subprocess.Popen([sys.executable, "-c", MAKER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert not maker_has_ended(name)
        assert not was_made_by(name, os.getpid(), identity)
        process.kill()
        # It is a zombie until it is fetched: ended all the same.
        while not maker_has_ended(name):
            assert process.poll() is None or maker_has_ended(name)
    assert maker_has_ended(name)
    assert not maker_has_ended(mine)


def test_a_stage_is_of_its_parent_too() -> None:
    """A lease names the run's process: what its stage left on another machine is known by that."""
    environment = os.environ | {"CONTIMG_STAGE_PARENT": str(os.getpid())}
    command = [sys.executable, "-c", MAKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        process.kill()
    identity = process_identity(os.getpid())
    assert identity is not None
    assert was_made_by(name, os.getpid(), identity)
    assert maker_has_ended(name)


def test_names_of_other_machines_and_without_a_mark_are_left_alone() -> None:
    assert not maker_has_ended("image-0123456789ab")
    assert not maker_has_ended("image-0123456789ab.00000000-1-1")
    assert not was_made_by("image-0123456789ab.00000000-1-1", 1, "boot pid:[1] 1")
    # Another process has this one's number now.
    mine = marked("x")
    assert maker_has_ended(f"{mine.rpartition('-')[0]}-1")
