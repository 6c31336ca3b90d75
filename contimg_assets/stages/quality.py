"""Quality: the numbers of a product, with a picture; they are judged elsewhere.

Belongs here: which numbers a kind of product has, and where they are kept.  Does
not belong here: how a number is found (``radio/quality``), limits and verdicts.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.stages.base import Inputs, Result, StageContext

#: Kinds of products.
Kind = Literal["ms", "calibration", "image"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: File of the numbers, in the folder of the result.
METRICS = "metrics.json"


class QualityInputs(Inputs):
    """A product and what it is."""

    kind: Kind
    product: Path
    out: Path
    """Folder for the numbers, pictures and, of an image, the report."""
    surroundings: Path | None = None
    """Of an image: JSON of the group's other products and of earlier groups, for the report."""


class QualityResult(Result):
    """Numbers with units in their names, and what belongs to them; which there are depends on the product."""


def run(inputs: QualityInputs, options: CatalogueOptions, context: StageContext) -> QualityResult:
    """Look a product over.

    Raises
    ------
    MissingInputError
        If the product, or a part of it, is not there.
    """
    inputs.out.mkdir(parents=True, exist_ok=True)
    numbers = _numbers(inputs, options, context)
    (inputs.out / METRICS).write_text(json.dumps(numbers, indent=1))
    return QualityResult.model_validate(numbers)


def _numbers(inputs: QualityInputs, options: CatalogueOptions, context: StageContext) -> dict[str, Any]:
    if inputs.kind == "ms":
        from contimg_assets.radio.quality.measurement_set import measurement_set_numbers

        return measurement_set_numbers(inputs.product, inputs.out)
    if inputs.kind == "calibration":
        from contimg_assets.radio.quality.calibration import calibration_numbers

        return calibration_numbers(inputs.product, inputs.out)
    from contimg_assets.radio.quality.image import image_numbers
    from contimg_assets.radio.quality.surroundings import read_surroundings

    around = read_surroundings(inputs.surroundings) if inputs.surroundings else None
    return image_numbers(inputs.product, inputs.out, context.catalogues, options, around)
