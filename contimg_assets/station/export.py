"""Handing images over: a folder that speaks for itself, made whole or not at all.

Belongs here: what goes into it, its manifest, that every file is what was published.
Does not belong here: which groups (``cli/export.py``).  Layout::

    README.md  MANIFEST.json  SHA256SUMS  groups.csv  obscore.vot
    20250601T140549/    images, source lists, regions, picture, report
"""

import csv
import errno
import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contimg_assets import __version__
from contimg_assets.radio.errors import ExportError, MissingInputError
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.group_key import slug
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.station.export_readme import readme
from contimg_assets.station.export_report import handed_over
from contimg_assets.station.group_listing import GroupLine
from contimg_assets.station.models import now
from contimg_assets.station.products import StationRecords
from contimg_assets.station.report_surroundings import REPORT
from contimg_assets.station.store import Store
from contimg_assets.station.version_views import lineage_of

MANIFEST, SUMS, README, TABLE, OBSCORE = (
    "MANIFEST.json",
    "SHA256SUMS",
    "README.md",
    "groups.csv",
    "obscore.vot",
)
#: Of the manifest's form.
FORMAT = 1
#: What goes along of an image's folder: all that science is done with …
_SCIENCE = ("image.fits", "pbcor.fits", "pb.fits", "noise.fits", "sources.fits", "sources.vot")
_SCIENCE += ("sources.reg", "sources.crtf", "thumbnail.png", "summary.json")
#: … and how the image came about.
_REST = ("residual.fits", "model.fits", "psf.fits", "mask.fits", "components.fits")
#: What compressing the planes has lost, beside them.
COMPRESSION = "compressed.json"
#: Columns of ``groups.csv``.
_COLUMNS = (
    *("key", "verdict", "worst_check", "declination_deg", "mid_mjd", "rms_mjy_beam", "rms_ratio"),
    *("flag_fraction", "n_sources", "flux_ratio", "astrometric_offset_arcsec", "set_id", "calibration_hours"),
)


@dataclass(frozen=True)
class Request:
    """What is handed over, and how."""

    lines: Sequence[GroupLine]
    """Groups, all with images."""
    everything: bool = False
    """Also residual, model, dirty beam, mask and components."""
    url: str = ""
    """Address under which the folder will be found; empty: where it is made."""
    left_out: Sequence[tuple[str, str]] = ()
    """Groups that do not go along, with reasons; they are named in the manifest."""
    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    """How the images are named."""


@dataclass(frozen=True)
class Exported:
    """What was handed over."""

    path: Path
    groups: tuple[str, ...]
    n_files: int
    n_bytes: int
    left_out: tuple[tuple[str, str], ...]


@dataclass
class _Folder:
    """The folder being filled, and what is in it."""

    path: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def enter(self, name: str) -> dict[str, Any]:
        """Note a file that is whole now."""
        path = self.path / name
        self.files[name] = {"path": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        return self.files[name]

    def write(self, name: str, text: str) -> dict[str, Any]:
        """Write a file, and note it."""
        (self.path / name).write_text(text, encoding="utf-8")
        return self.enter(name)


def export(records: StationRecords, store: Store, request: Request, out: Path) -> Exported:
    """Hand over images, lists, numbers and provenance of groups.

    Parameters
    ----------
    records, store
        Where they are.
    request : Request
        Which, and what of them.
    out : Path
        The folder to make; it must not be there.

    Raises
    ------
    ExportError
        If ``out`` is there or cannot be made, there is no room, there is nothing to hand over, or a file is
        not what was published.
    """
    out = out.absolute()
    if out.exists() or out.is_symlink():
        raise ExportError(f"{out} is there already: name a folder that is not")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: found no folder in which to make {out.name}")
    if not request.lines:
        raise ExportError(f"nothing to hand over{_why(request.left_out)}")
    planned = {line.key: _files(records, store, line, request.everything) for line in request.lines}
    _require_room(out.parent, sum(path.stat().st_size for files in planned.values() for path in files))
    staged = out.with_name(f".{out.name}-{uuid.uuid4().hex[:12]}.part")
    staged.mkdir()
    try:
        folder = _Folder(staged)
        reports = {slug(key) for key, files in planned.items() if any(path.name == REPORT for path in files)}
        groups = [_copy(records, folder, line, planned[line.key], reports) for line in request.lines]
        _describe(folder, request, groups, request.url.rstrip("/") or out.as_uri())
        _put(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    keys = tuple(line.key for line in request.lines)
    n_bytes = sum(entry["bytes"] for entry in folder.files.values())
    return Exported(out, keys, len(folder.files), n_bytes, tuple(request.left_out))


def _why(left_out: Sequence[tuple[str, str]]) -> str:
    reasons = sorted({reason for _, reason in left_out})
    return f": {len(left_out)} groups left out ({'; '.join(reasons)})" if left_out else ""


def _files(records: StationRecords, store: Store, line: GroupLine, everything: bool) -> list[Path]:
    """The published files of a group that go along."""
    stem, wanted = slug(line.key), _SCIENCE + (_REST if everything else ())
    folder = store.absolute(records.product(line.key, "image").path)
    # The planes of an old image are compressed.
    found = [folder / f"{stem}.{name}{suffix}" for name in wanted for suffix in ("", ".fz")]
    found += [folder / name for name in (*wanted, COMPRESSION)]
    report = records.products(line.key).get("image_qa")
    if report is not None:
        found.append(store.absolute(report.path) / REPORT)
    files = [path for path in found if path.is_file()]
    if not any(path.name.startswith(f"{stem}.pbcor.fits") for path in files):
        raise MissingInputError(f"{folder}: found no {stem}.pbcor.fits, which the image of {line.key} has")
    return files


def _require_room(parent: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(parent).free
    if n_bytes > free:
        raise ExportError(f"{parent}: found {free / 1e9:.1f} GB free; this takes {n_bytes / 1e9:.1f} GB")


def _copy(
    records: StationRecords,
    folder: _Folder,
    line: GroupLine,
    files: Sequence[Path],
    reports: Collection[str],
) -> dict[str, Any]:
    """Copy a group's files, hold them against what was published, and tell of the group."""
    name = slug(line.key)
    (folder.path / name).mkdir()
    entries: list[dict[str, Any]] = []
    for path in files:
        shutil.copyfile(path, folder.path / name / path.name)
        entry = folder.enter(f"{name}/{path.name}")
        digest, published = entry["sha256"], _published(path)
        if published not in (None, digest):
            raise ExportError(f"{path}: found the SHA-256 {digest}; expected {published}, as published")
        if path.name == REPORT:
            text = handed_over(path.read_text(encoding="utf-8"), name, [each.name for each in files], reports)
            entry = folder.write(f"{name}/{REPORT}", text)
        entries.append(entry)
    lineage = [
        {"steps": view.steps, "group": v.key, "product": v.product, "version": v.version, "made": v.made}
        for view in lineage_of(records.engine, line.key, "image")
        for v in (view.version,)
    ]
    checks = {
        product: {
            check: {"status": v.status, "value": v.value, "soft": v.soft, "hard": v.hard}
            for check, v in records.verdicts(line.key, product).items()
        }
        for product in ("measurement_set_qa", "image_qa")
    }
    told = {column: getattr(line, column) for column in _COLUMNS if column != "key"}
    return {"group": line.key, **told, "checks": checks, "made_from": lineage, "files": entries}


def _published(path: Path) -> str | None:
    """The hash with which a file was published; None for a product that has none."""
    sums = path.with_name(SUMS)
    if not sums.is_file():
        return None
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if name == path.name:
            return digest
    return None


def _describe(folder: _Folder, request: Request, groups: Sequence[dict[str, Any]], base: str) -> None:
    """Write what is said of the whole."""
    from contimg_assets.radio.images.obscore import obscore, write_obscore
    from contimg_assets.radio.images.planes import plane_file

    rows = []
    for line in request.lines:
        stem = slug(line.key)
        image = plane_file(folder.path / stem, stem, "pbcor")
        archive = request.archive.model_copy(update={"access_url": base + "/{name}/{file}"})
        rows.append(obscore(image, stem, archive))
    write_obscore(rows, folder.path / OBSCORE)
    folder.enter(OBSCORE)
    with (folder.path / TABLE).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(("group", *_COLUMNS[1:]))
        writer.writerows([getattr(line, name) for name in _COLUMNS] for line in request.lines)
    folder.enter(TABLE)
    folder.write(README, readme(groups, request.left_out))
    manifest = {
        "format": FORMAT,
        "made": now().isoformat(timespec="seconds"),
        "contimg": __version__,
        "groups": groups,
        "left_out": [{"group": key, "reason": reason} for key, reason in request.left_out],
        "files": list(folder.files.values()),
    }
    folder.write(MANIFEST, json.dumps(manifest, indent=1, default=str))
    folder.write(SUMS, "".join(_sums(folder)))


def _sums(folder: _Folder) -> Iterator[str]:
    for name, entry in sorted(folder.files.items()):
        yield f"{entry['sha256']}  {name}\n"


def _put(staged: Path, out: Path) -> None:
    """Give the folder its name; somebody may have taken it meanwhile."""
    if out.exists():
        raise ExportError(f"{out} is there by now: name a folder that is not")
    try:
        staged.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise ExportError(f"{out} is there by now: name a folder that is not") from error
