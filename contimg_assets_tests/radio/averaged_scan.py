"""A calibrator scan's sums as a Measurement Set, on which CASA's tasks solve beside our own loops."""

from pathlib import Path

import numpy as np

from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.measurement_set import GroupShape, add_data_column
from contimg_assets.radio.phasing import JD_OF_MJD_0


def write_averaged(shape: GroupShape, sums: ScanSums, path: Path) -> None:
    """Write the averages as a Measurement Set of one row for each interval and baseline.

    Its DATA is ⟨V⟩, its model 1, its weights Σ|M|² over their median.
    """
    from casacore.tables import makearrcoldesc, maketabdesc, table

    cross = np.flatnonzero(shape.cross)
    rows = [int(times[len(times) // 2]) * shape.n_baselines + cross for times in sums.intervals]
    with table(str(shape.path), ack=False) as main:
        main.selectrows(np.concatenate(rows)).copy(str(path), deep=True).close()
    good = sums.model > 0
    weight = sums.model / np.median(sums.model[good]) if good.any() else sums.model
    add_data_column(path, "MODEL_DATA")
    with table(str(path), readonly=False, ack=False) as main:
        if "WEIGHT_SPECTRUM" not in main.colnames():
            column = makearrcoldesc("WEIGHT_SPECTRUM", 0.0, ndim=2, valuetype="float")
            manager = {"TYPE": "StandardStMan", "NAME": "WeightSpectrum", "SPEC": {}}
            main.addcols(maketabdesc(column), manager)
        n = len(cross)
        for k, times in enumerate(sums.intervals):
            average = np.divide(
                sums.product[k], sums.model[k], where=good[k], out=np.zeros_like(sums.product[k])
            )
            main.putcol("DATA", average, k * n, n)
            main.putcol("MODEL_DATA", np.ones_like(average), k * n, n)
            main.putcol("FLAG", ~good[k], k * n, n)
            main.putcol("WEIGHT_SPECTRUM", weight[k], k * n, n)
            main.putcol("WEIGHT", weight[k].mean(axis=1), k * n, n)
            main.putcol("FLAG_ROW", ~good[k].any(axis=(1, 2)), k * n, n)
            middle_s = (float(shape.times_jd[times].mean()) - JD_OF_MJD_0) * 86400.0
            for column, value in (
                ("TIME", middle_s),
                ("TIME_CENTROID", middle_s),
                ("INTERVAL", shape.integration_s * len(times)),
                ("EXPOSURE", shape.integration_s * len(times)),
            ):
                main.putcol(column, np.full(n, value), k * n, n)
