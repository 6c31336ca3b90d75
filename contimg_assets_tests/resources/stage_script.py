"""Stages that end in every way that a stage can end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from dagster_pipes import open_dagster_pipes

from contimg_assets.radio.processes import bound, die_with_parent

die_with_parent()
stage = sys.argv[1]
if stage == "linger":
    # Writes down its own process and that of a program that it has started, as WSClean is; waits for it.
    child = subprocess.Popen(bound(["sleep", "600"]))
    written = Path(os.environ["CONTIMG_HOME"]) / "processes"
    staged = written.with_suffix(".new")
    staged.write_text(f"{os.getpid()} {child.pid}")
    staged.replace(written)
    child.wait()
with open_dagster_pipes() as pipes:
    if stage == "work":
        result = {
            "answer": 42,
            "folder": str(Path.cwd()),
            "home": os.environ["CONTIMG_HOME"],
            "threads": os.environ["OMP_NUM_THREADS"],
            "process": os.getpid(),
            "server": os.getppid(),
        }
        pipes.report_custom_message({"result": result})
    if stage == "refuse":
        pipes.report_custom_message({"error": "ConversionError", "message": "it is no use"})
if stage == "refuse":
    sys.exit(3)
if stage == "crash":
    sys.exit(1)
if stage == "orphan":
    # Its server dies, and so it does.
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
if stage == "segfault":
    os.kill(os.getpid(), signal.SIGSEGV)
