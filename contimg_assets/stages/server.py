"""A process that has loaded what stages need, and forks one for each stage that is asked for.

Importing CASA, astropy, numba and matplotlib takes longer than many a stage works.
Belongs here: the server's side: loading, forking, telling how a stage's process ended.
Does not belong here: who asks, and what becomes of a stage's outcome
(``resources/warm_stages.py``, ``resources/stage_runner.py``).
"""

import ctypes
import gc
import json
import os
import runpy
import socket
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from contimg_assets.radio.processes import bind, bound_to, die_with_parent

#: Modules that stages load when they work.
MODULES = (
    "contimg_assets.settings",
    "contimg_assets.radio.conversion.convert",
    "contimg_assets.radio.flagging.flag",
    "contimg_assets.radio.plots.flags",
    "contimg_assets.radio.quality.measurement_set",
    "contimg_assets.radio.calibration.field",
    "contimg_assets.radio.plots.calibration",
    "contimg_assets.radio.quality.calibration",
    "contimg_assets.radio.calibration.apply",
    "contimg_assets.radio.imaging.image",
    "contimg_assets.radio.imaging.start_model",
    "contimg_assets.radio.quality.products",
    "contimg_assets.radio.quality.image",
    "contimg_assets.radio.photometry.measure",
    "dagster_pipes",
)
#: A question is shorter than this, bytes: a command's arguments, and some variables.
LONGEST = 1 << 17
#: With this and the stage's name begins the name of its process.
STAGE = "contimg:"
#: ``prctl``'s option (linux/prctl.h): the name of a process in lists of processes, of 15 characters.
_SET_NAME = 15


def load(folder: Path) -> None:
    """Load the code of all stages.

    Parameters
    ----------
    folder : Path
        Of CASA's data, log and cache, which CASA looks for when it is loaded.
    """
    from contimg_assets.radio import casa
    from contimg_assets.radio.malloc import idle_quietly, keep_memory

    keep_memory()
    idle_quietly()
    casa.configure(folder)
    for name in MODULES:
        import_module(name)
    _use_once()
    # What is loaded stays: a forked process that looked through it for garbage would copy it.
    gc.collect()
    gc.freeze()


def _use_once() -> None:
    """Let numba and matplotlib load what they load when they are first used; no thread is started."""
    from matplotlib.figure import Figure

    from contimg_assets.radio.imaging.phasors import phasor

    phasor(0.0)
    figure = Figure()
    figure.subplots().set_xlabel("$x$")
    figure.savefig(BytesIO(), format="png")


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each question, and answer with its number and then with its end.

    Parameters
    ----------
    channel : socket
        Of questions: ``entry`` (the module that runs a stage), ``arguments``, ``folder`` and
        ``environment`` as JSON, with standard output and standard error of the stage.

    Returns
    -------
    dict or None
        In a forked process, what it is to do; None when nobody will ask again.
    """
    server = os.getpid()
    while True:
        told, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 2)
        if not told:
            return None
        asked = json.loads(told)
        child = os.fork()
        if child == 0:
            channel.close()
            _become(asked, descriptors, server)
            return asked
        # Here too: whoever asked may signal the group as soon as it is told of it.
        os.setpgid(child, child)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(json.dumps({"pid": child}).encode())
        _, status, usage = os.wait4(child, 0)
        channel.send(json.dumps({"status": status, "peak_kib": usage.ru_maxrss}).encode())


def _become(asked: dict[str, Any], descriptors: list[int], server: int) -> None:
    """Make this process the stage's: it leads a group, and dies with the server and so with the run."""
    os.setpgid(0, 0)
    bind(server, bound_to())
    output, errors = descriptors
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (output, 1), (errors, 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(asked["folder"])
    os.environ.update(asked["environment"])
    name = f"{STAGE}{asked['arguments'][0]}"
    ctypes.CDLL(None).prctl(_SET_NAME, name.encode(), 0, 0, 0)


def main() -> None:
    """Serve a channel.

    Arguments: its descriptor; the folder of CASA's data, if the code of stages is to be loaded.
    """
    die_with_parent()
    number, *folder = sys.argv[1:]
    for each in folder:
        load(Path(each))
    asked = serve(socket.socket(fileno=int(number)))
    if asked is None:
        # Nothing to tidy up, and no time to lose.
        os._exit(0)
    sys.argv = [asked["entry"], *asked["arguments"]]
    runpy.run_module(asked["entry"], run_name="__main__")


if __name__ == "__main__":
    main()
