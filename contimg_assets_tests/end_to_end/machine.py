"""An installation for drills, by its commands as they are typed.

Belongs here: starting commands and reading what they say.  Does not belong here: data
(``tiny_groups.py``), or what a drill does.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_assets_tests.conftest import PostgresServer


@dataclass
class Machine:
    """An installation, by its commands."""

    home: Path
    environment: dict[str, str]

    @classmethod
    def new(cls, home: Path, server: PostgresServer | None) -> "Machine":
        """One with empty databases; nothing is made yet."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("CONTIMG_", "DAGSTER_"))}
        own |= {"CONTIMG_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
        if server is not None:
            own["CONTIMG_DATABASE_URL"] = server.new_database()
            own["CONTIMG_DAGSTER_DATABASE_URL"] = server.new_database()
        return cls(home, own)

    def contimg(self, *arguments: object, code: int = 0) -> Any:
        """Run a command; what it says as JSON."""
        command = [sys.executable, "-m", "contimg_assets.cli", *map(str, arguments), "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def begin(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command that will not be waited for."""
        command = [sys.executable, "-m", "contimg_assets.cli", *map(str, arguments)]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def state(self, key: str) -> str | None:
        """State of a group; None if it is not known."""
        groups = self.contimg("products")["groups"]
        return next((group["state"] for group in groups if group["group"] == key), None)
