"""A process that is killed while it publishes leaves the old product or the new one, whole."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import TARGET

REPOSITORY = Path(__file__).parent.parent.parent
PROGRAM = """
import sys
from pathlib import Path
from contimg_assets.station.store import Store
store, key = Store(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3]), 10**9):
    with store.staging(key, "image") as folder:
        built = folder / "built"
        built.mkdir()
        for part in ("a", "b", "c"):
            (built / part).write_text(str(number) * 1000)
        store.publish(built, key, "image")
    print(number, flush=True)
"""


def test_killed_anywhere_the_product_is_whole(tmp_path: Path) -> None:
    rng = random.Random(1)
    store = Store(tmp_path)
    first = 10**6
    for _ in range(5):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), TARGET, str(first)]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0]
        last = int(said.splitlines()[-1])
        parts = {(store.existing(TARGET, "image") / part).read_text() for part in ("a", "b", "c")}
        assert len(parts) == 1
        # The last that it said to have published, or the one after it.
        assert int(parts.pop()[:7]) in (last, last + 1)
        first = last + 1000
