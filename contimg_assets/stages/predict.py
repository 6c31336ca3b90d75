"""Prediction: MODEL_DATA of a Measurement Set from the model of its image."""

from pathlib import Path

from contimg_assets.stages.base import Inputs, Result, StageContext


class PredictInputs(Inputs):
    """A Measurement Set and its image."""

    ms: Path
    image: Path
    """Folder of the image's products."""
    out: Path
    """The copy with MODEL_DATA."""


class PredictResult(Result):
    """Numbers about the model."""

    n_components: int
    model_flux_jy: float
    model_rms_jy: float
    wall_seconds: float


def run(inputs: PredictInputs, context: StageContext) -> PredictResult:
    """Predict; see :func:`contimg_assets.radio.imaging.model_data.write_model_data`.  It has no options."""
    from contimg_assets.radio.imaging.model_data import write_model_data

    return PredictResult.model_validate(
        write_model_data(inputs.ms, inputs.image, inputs.out, context.threads)
    )
