"""A claim lasts exactly as long as the process that made it."""

import subprocess
import sys
from pathlib import Path

from contimg_assets.station.claims import Claims

REPOSITORY = Path(__file__).parent.parent.parent


def test_a_group_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with claims.claim(["a", "b"]) as first, claims.claim(["b", "c"]) as second:
        assert (first, second) == ({"a", "b"}, {"c"})
        assert claims.held() == {"a", "b", "c"}
    assert claims.held() == set()


def test_the_claim_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from contimg_assets.station.claims import Claims
with Claims(Path({str(tmp_path)!r})).claim(["a"]):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert Claims(tmp_path).held() == {"a"}
    process.kill()
    process.wait()
    assert Claims(tmp_path).held() == set()
