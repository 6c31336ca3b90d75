"""CASA's tools open no port, and nothing else of the process is refused the network."""

import errno
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from contimg_assets.radio.unconnected import unconnected

#: What a stage does before it solves, and what the kernel and CASA then say of its ports.
STAGE = """
import re, socket, sys
from pathlib import Path
from contimg_assets.radio import casa

casa.configure(Path(sys.argv[1]))
casa.load_tools()
from casatasks import gaincal
from casatools import ctsys, table

inodes = set()
for link in Path("/proc/self/fd").iterdir():
    try:
        inodes |= set(re.findall(r"socket:\\[(\\d+)\\]", str(link.readlink())))
    except FileNotFoundError:
        pass
tables = [Path(f"/proc/net/{name}").read_text().splitlines() for name in ("tcp", "tcp6")]
lines = [line.split() for table in tables for line in table]
listening = [line[1] for line in lines if line[3] == "0A" and line[9] in inodes]
tool = table()
assert tool.open(ctsys.resolve("geodetic/IERSeop2000"))
tool.close()
with socket.create_server(("127.0.0.1", 0)):
    print(listening, repr(ctsys.registry()["uri"]))
"""


def test_casa_listens_nowhere_and_works(tmp_path: Path) -> None:
    """Its registry has no address; its tables open; the process itself may still serve."""
    done = subprocess.run(
        [sys.executable, "-c", STAGE, str(tmp_path / "casa")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] ''\n", "")


def test_the_thread_and_its_threads_have_no_network_and_others_do() -> None:
    refused: list[int | None] = []

    def ask() -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            with pytest.raises(OSError) as told:
                socket.socket(family)
            refused.append(told.value.errno)
        one, other = socket.socketpair()
        one.close()
        other.close()

    def work() -> None:
        ask()
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    unconnected(work)
    assert refused == [errno.EACCES] * 4
    socket.socket(socket.AF_INET).close()


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        unconnected(lambda: __import__("no_such_module"))
