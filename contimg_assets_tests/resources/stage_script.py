"""Stages that end in every way that a stage can end."""

import os
import signal
import sys
from pathlib import Path

from dagster_pipes import open_dagster_pipes

with open_dagster_pipes() as pipes:
    stage = sys.argv[1]
    if stage == "work":
        result = {
            "answer": 42,
            "folder": str(Path.cwd()),
            "home": os.environ["CONTIMG_HOME"],
            "threads": os.environ["OMP_NUM_THREADS"],
        }
        pipes.report_custom_message({"result": result})
    if stage == "refuse":
        pipes.report_custom_message({"error": "ConversionError", "message": "it is no use"})
if stage == "refuse":
    sys.exit(3)
if stage == "crash":
    sys.exit(1)
if stage == "segfault":
    os.kill(os.getpid(), signal.SIGSEGV)
