"""From files on disk to a group in the station database: what sensor and command line share.

Belongs here: turning a group of files into a registration.  Does not belong
here: when it is taken (``ingest_policy.py``), reading or grouping files
(``radio/grouping.py``), or what may be written (``products.py``).
"""

from contimg_assets.radio.errors import GroupError
from contimg_assets.radio.grouping import FileGroup
from contimg_assets.settings import Settings
from contimg_assets.station.group_states import Registration
from contimg_assets.station.products import StationRecords


def registration_of(group: FileGroup, settings: Settings) -> Registration:
    """What the station database is told of a group, the calibrator in its beam included.

    Parameters
    ----------
    group : FileGroup
        With at least one usable file.
    settings : Settings
        For the search of a calibrator.

    Raises
    ------
    GroupError
        If no file of the group has a readable header.
    """
    header = group.header
    if header is None or group.key is None:
        raise GroupError(f"no usable file among {', '.join(path.name for path, _ in group.bad)}")
    # Imported here: it brings astropy, which whoever only reads the station database need not load.
    from contimg_assets.radio.calibration.calibrators import find_calibrator

    mid_mjd = (header.start_mjd + header.end_mjd) / 2
    scan = find_calibrator(header.declination_deg, mid_mjd, settings.calibration)
    name_of = dict(zip(header.antenna_numbers, header.antenna_names, strict=True))
    return Registration(
        key=group.key,
        files=group.files,
        missing_subbands=group.missing,
        declination_deg=header.declination_deg,
        mid_mjd=mid_mjd,
        duration_s=(header.end_mjd - header.start_mjd) * 86400.0,
        antennas=[name_of[number] for number in header.antennas],
        calibrator_name=scan.name if scan else None,
        calibrator_apparent_jy=scan.apparent_jy if scan else None,
        reason="" if group.status == "complete" else group.reason,
    )


def register(group: FileGroup, settings: Settings, records: StationRecords, *, ready: bool) -> None:
    """Enter a group in the station database.

    Parameters
    ----------
    group : FileGroup
        With at least one usable file.
    settings : Settings
        For the search of a calibrator.
    records : StationRecords
        Where it is entered.
    ready : bool
        Whether it can be processed.
    """
    records.register(registration_of(group, settings), ready=ready)
