"""Jobs: which assets and checks one run of a group makes.

Belongs here: selections, executor and tags of jobs.  Does not belong here: when
they start (``sensors/``, ``cli/``).
"""

from dagster import AssetSelection, define_asset_job, in_process_executor

from contimg_assets.station.operations import CONVERT, IMAGE, PROCESS, SOLVE

#: Priorities of runs: live groups go before those of a catch-up.
LIVE_PRIORITY, CATCH_UP_PRIORITY = 10, 0

# Checks of the selected assets come along.  Steps start subprocesses, so each run needs one process only.
convert_group = define_asset_job(
    CONVERT,
    selection=AssetSelection.assets("measurement_set", "measurement_set_qa", "flags"),
    description="A group's files to a Measurement Set, its quality numbers and its flags.",
    executor_def=in_process_executor,
)
process_group = define_asset_job(
    PROCESS,
    selection=AssetSelection.assets(
        "measurement_set", "measurement_set_qa", "flags", "calibrated_ms", "image", "image_qa"
    ),
    description="All of a group whose calibration stands already: from its files to its image, in one run.",
    executor_def=in_process_executor,
)
solve_calibrator = define_asset_job(
    SOLVE,
    selection=AssetSelection.assets("calibration_tables", "calibration_qa"),
    description="Calibration tables of a calibrator scan, into the registry.",
    executor_def=in_process_executor,
)
image_group = define_asset_job(
    IMAGE,
    selection=AssetSelection.assets("calibrated_ms", "image", "image_qa"),
    description="The nearest valid calibration applied, and the image made of it.",
    executor_def=in_process_executor,
)

#: All of them.
jobs = (convert_group, process_group, solve_calibrator, image_group)
