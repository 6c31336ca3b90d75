"""What publication does to others: a heartbeat on the same SQLite database, and a reader of the old version.

    python benchmarks/publication.py [--number 1000] [--files 20] [--size-kb 25]

One process publishes a product again and again; another renews a heartbeat every 0.1 s and notes how long
each one takes (before that, alone); a third holds the files of the first version open, reads them again and
again, and lists whatever version the link leads to.  With ``--hash`` the product is one that is named by its
content (flags).
"""

import argparse
import multiprocessing
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

from contimg_assets.settings import IngestOptions
from contimg_assets.station import publication, retention
from contimg_assets.station.database import create, upgrade
from contimg_assets.station.group_states import Registration
from contimg_assets.station.leases import Leases
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store

KEY = "2026-01-15T03:00:00"
BEAT_S = 0.1
#: Length of the look at heartbeats alone, s.
ALONE_S = 20.0


def beat(url: str, stop: Event, results: "multiprocessing.Queue[tuple[str, list[float]]]") -> None:
    """Renew a heartbeat until it is told to stop; how long each one took, s."""
    leases, delays = Leases(create(url), IngestOptions()), []
    while not stop.wait(BEAT_S):
        began = time.monotonic()
        leases.beat("another run")
        delays.append(time.monotonic() - began)
    results.put(("heartbeat", delays))


def beats_alone(url: str) -> list[float]:
    """How long heartbeats take while nothing else uses the database: what the machine itself delays."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    process = multiprocessing.Process(target=beat, args=(url, stop, results))
    process.start()
    time.sleep(ALONE_S)
    stop.set()
    _, times = results.get(timeout=60)
    process.join()
    return times


def read(link: Path, stop: Event, results: "multiprocessing.Queue[tuple[str, list[float]]]") -> None:
    """Hold the first version open and read it, and list what the link leads to, until told to stop."""
    handles = [path.open("rb") for path in sorted(link.resolve().iterdir())]
    wanted = [handle.read() for handle in handles]
    n_files, times = len(handles), []
    while not stop.is_set():
        began = time.monotonic()
        for handle, content in zip(handles, wanted, strict=True):
            handle.seek(0)
            if handle.read() != content:
                raise AssertionError(f"{handle.name} has changed under its reader")
        if len(list(link.iterdir())) != n_files:
            raise AssertionError(f"{link} led to a version that was not whole")
        times.append(time.monotonic() - began)
    results.put(("reader", times))


def publish_all(home: Path, url: str, product: str, options: argparse.Namespace) -> list[float]:
    """Publish versions one after the other; how long each publication took, s."""
    records, store, times = StationRecords(create(url)), Store(home), []
    for number in range(options.number):
        with store.staging(KEY, product) as folder:
            (folder / "built").mkdir()
            for part in range(options.files):
                (folder / "built" / f"part{part:04d}").write_bytes(
                    f"{number:08d}".encode() * (options.size_kb * 128)
                )
            began = time.monotonic()
            publication.publish(records, store, folder / "built", KEY, product, {"number": number})
            times.append(time.monotonic() - began)
    return times


def measure(home: Path, options: argparse.Namespace) -> None:
    """Run the three processes, and print how long each of their steps took."""
    product = "flags" if options.hash else "image"
    url = f"sqlite:///{home / 'catalogue.sqlite'}"
    upgrade(url)
    records, store = StationRecords(create(url)), Store(home)
    files = {k: home / f"sb{k:02d}.hdf5" for k in range(16)}
    records.register(Registration(KEY, files, [], 54.57, 61055.1, 309.24, ["1"]), ready=True)
    Leases(create(url), IngestOptions()).take(KEY, "another run", "the benchmark")
    first = argparse.Namespace(**{**vars(options), "number": 1})
    publish_all(home, url, product, first)
    found = {"heartbeat alone": beats_alone(url)}
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    others = [
        multiprocessing.Process(target=beat, args=(url, stop, results)),
        multiprocessing.Process(target=read, args=(store.path(KEY, product), stop, results)),
    ]
    for process in others:
        process.start()
    found |= {"publication": publish_all(home, url, product, options)}
    stop.set()
    found |= dict(results.get(timeout=60) for _ in others)
    for process in others:
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"{process.name} ended with {process.exitcode}: see above")
    print(f"{'':15s} {'number':>7s} {'median [ms]':>12s} {'longest [ms]':>13s}")
    for name, times in found.items():
        ordered = sorted(times)
        median, longest = 1e3 * ordered[len(ordered) // 2], 1e3 * ordered[-1]
        print(f"{name:15s} {len(ordered):7d} {median:12.1f} {longest:13.1f}")
    began = time.monotonic()
    planned = retention.plan(records.engine, store, 0.0, datetime.now(UTC))
    freed = retention.carry_out(records.engine, store, planned)
    print(f"retention: {len(planned)} versions, {freed / 1e6:.0f} MB in {time.monotonic() - began:.1f} s")


def main() -> None:
    """Read the options and measure in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=1000, help="publications")
    parser.add_argument("--files", type=int, default=20, help="files of a version")
    parser.add_argument("--size-kb", type=int, default=25, help="KiB of a file")
    parser.add_argument("--hash", action="store_true", help="a product that is named by its content")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        measure(Path(name), options)


if __name__ == "__main__":
    main()
