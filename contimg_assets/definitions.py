"""The code location: every asset, check, job, sensor, schedule and resource, assembled explicitly.

Belongs here: the lists, readable from top to bottom.  Does not belong here: any
logic.  Loading this module must not import CASA, casacore or pyuvdata.
"""

import sys
from collections.abc import Mapping
from typing import Any

from dagster import Definitions, in_process_executor

from contimg_assets.assets.calibration import calibrated_ms, calibration_tables, flags
from contimg_assets.assets.imaging import image
from contimg_assets.assets.ingest import measurement_set, uvh5_subbands
from contimg_assets.assets.nights import night_report, night_report_job, nightly_report
from contimg_assets.assets.photometry import photometry
from contimg_assets.assets.quality import calibration_qa, image_qa, measurement_set_qa
from contimg_assets.assets.survey import day_products, ese_candidates, flux_scale, light_curves, variability
from contimg_assets.checks.quality import (
    calibration_checks,
    image_checks,
    measurement_set_checks,
    photometry_checks,
)
from contimg_assets.io_managers.fits import PublishedImageIOManager
from contimg_assets.io_managers.measurement_set import PublishedFolderIOManager
from contimg_assets.jobs import jobs
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource, StoreResource
from contimg_assets.resources.pool_waiting import wait_quietly
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.sensors.alarms import alarms
from contimg_assets.sensors.alerts import cancelled_runs, failed_checks, failed_runs, pointing_changes
from contimg_assets.sensors.calibrators import calibrator_scans
from contimg_assets.sensors.campaigns import campaign_groups
from contimg_assets.sensors.days import days_due
from contimg_assets.sensors.imaging import images_due
from contimg_assets.sensors.incoming import incoming_groups
from contimg_assets.sensors.retention import disk_guard, hourly_retention, retention_job
from contimg_assets.sensors.traces import group_traces
from contimg_assets.sensors.workers import dead_workers, lost_runs
from contimg_assets.settings import read_settings
from contimg_assets.station.services import CODE, announce


def build_defs(overrides: Mapping[str, Any] | None = None) -> Definitions:
    """Assemble the code location.

    Parameters
    ----------
    overrides : Mapping, optional
        Resources to put in place of the usual ones, by name; tests use it.

    Returns
    -------
    Definitions
        All there is.

    Raises
    ------
    SettingsError
        If a setting is wrong: Dagster then shows why in place of the code location.
    """
    settings = read_settings()
    wait_quietly()
    # Only where a collector is named: a sensor that looks for nothing costs ticks.
    traces = [group_traces] if settings.traces.endpoint else []
    return Definitions(
        assets=[
            uvh5_subbands,
            measurement_set,
            measurement_set_qa,
            flags,
            calibration_tables,
            calibration_qa,
            calibrated_ms,
            image,
            image_qa,
            photometry,
            flux_scale,
            light_curves,
            variability,
            ese_candidates,
            night_report,
        ],
        asset_checks=[measurement_set_checks, calibration_checks, image_checks, photometry_checks],
        jobs=[*jobs, day_products, retention_job, night_report_job],
        # Also for assets that are materialised by hand: a process for each step costs 2 s, and their stages
        # run in processes of their own.
        executor=in_process_executor,
        sensors=[
            incoming_groups,
            calibrator_scans,
            images_due,
            campaign_groups,
            days_due,
            dead_workers,
            lost_runs,
            failed_runs,
            cancelled_runs,
            failed_checks,
            pointing_changes,
            alarms,
            disk_guard,
            *traces,
        ],
        schedules=[hourly_retention, nightly_report],
        resources={
            "stages": StageRunner(),
            "database": DatabaseResource(),
            "storage": StoreResource(),
            "alerts": NotifierResource(),
            "folders": PublishedFolderIOManager(),
            "images": PublishedImageIOManager(),
            **(overrides or {}),
        },
    )


defs = build_defs()
if sys.argv[1:3] == ["api", "grpc"]:
    # This is a code server: what it has loaded is what runs until it is restarted.
    announce(read_settings(), CODE)
