"""A stage that takes as long as it is told, with a program that it waits for: a process like any stage's.

``TINY_STAGE_S`` is its length.  It makes nothing: ``definitions.py`` does.
"""

import os
import subprocess

from dagster_pipes import open_dagster_pipes

from contimg_assets.radio.processes import bound, die_with_parent

if __name__ == "__main__":
    die_with_parent()
    subprocess.run(bound(["sleep", os.environ["TINY_STAGE_S"]]), check=True)
    with open_dagster_pipes() as pipes:
        pipes.report_custom_message({"result": {}})
