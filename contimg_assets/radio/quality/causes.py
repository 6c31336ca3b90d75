"""What is likely to be wrong with an image whose numbers are past their limits, in words.

A limit says that an image is not what it should be; numbers beside it tell what to look at.  Several causes
may do the same, so they are named as likely, and none where the numbers tell nothing.

Belongs here: from numbers to words.  Does not belong here: limits (``limits.toml``), or the numbers.
"""

from collections.abc import Mapping
from typing import Any

from contimg_assets.radio.limits import judge

#: Numbers of strong sources by place begin so: ``strong_sun_jy``.
STRONG = "strong_"
_NOISE = frozenset(
    {
        *("rms_ratio", "rms_ratio_centre", "noise_excess", "noise_excess_centre"),
        *("residual_tail_fraction", "ring_sigma", "stripe_fraction"),
    }
)
_DATA = frozenset({"flag_fraction", "bad_antenna_fraction"})
_SCALE = frozenset({"flux_ratio_deviation", "flux_ratio_excess"})
_TREND = frozenset({"flux_ratio_trend", "flux_ratio_trend_excess"})
#: Noise at the centre over that at the edge, from which an excess follows the beam: sources make it.
_FOLLOWS_BEAM = 1.08
#: Part of the data that interference and dead antennas take on an ordinary night.
_MUCH_FLAGGED = 0.2
#: Part of the antennas that was bad, from which it may matter.
_MANY_BAD = 0.02
#: A strong source that appears so bright, Jy, has sidelobes over the noise.
_VERY_STRONG_JY = 10.0
#: Bright sources leave more than noise where phases are not the calibrator's, or moved during the group.
_NO_POINTS = (
    "phases that moved since the calibrator or within the group: gains, or the ionosphere "
    "(phase_wander_deg of calibration_qa tells how much); else a dirty beam that is not the image's"
)
#: Noise has no more power for its weight on short spacings than this, over that on the others.
_OF_NOISE = 1.0


def likely_causes(product: str, numbers: Mapping[str, Any]) -> tuple[str, ...]:
    """Causes of what the limits say of a product, the likeliest first; none if all is well.

    Parameters
    ----------
    product : str
        Images (``image_qa``), data as converted (``measurement_set_qa``) and measurements (``photometry``)
        have causes, others none.
    numbers : Mapping
        By name.
    """
    if product not in ("image_qa", "measurement_set_qa", "photometry"):
        return ()
    bad = {found.metric for found in judge(product, numbers) if found.measured and found.status != "PASS"}
    if product == "photometry":
        return (_NO_POINTS,) if "chi_squared_median" in bad else ()
    if product == "measurement_set_qa":
        return tuple(_of_data({name for name in bad if numbers.get(name) is not None}, numbers))
    causes: list[str] = []
    if "n_wrong_subbands" in bad:
        n = numbers["n_wrong_subbands"]
        causes.append(
            f"{n:.0f} of the subbands late or of another sky, and left out (calibrated_ms names them)"
        )
    if bad & _SCALE and "stripe_fraction" in bad:
        causes.append("a subband whose data are wrong (shifted in time, clipped)")
    if bad & _TREND:
        causes.append("a beam of another width than the model's, or dishes that point elsewhere")
    elif bad & _SCALE:
        varies = " (its spectrum is flat, so it may vary)" if numbers.get("calibrator_may_vary") else ""
        causes.append(f"gains that moved since the calibrator, or the calibrator's own flux density{varies}")
    if bad & _NOISE:
        causes += _of_noise(numbers)
    if "short_spacing_excess" in bad and not (bad & _NOISE):
        causes += _strong(numbers) or ["extended emission, or interference that all dishes hear"]
    if "gain_common_change" in bad:
        causes.append("a change of all antennas' power since the calibrator: gains, or the systems' noise")
    if "system_noise_ratio" in bad:
        causes.append("receivers noisier than nominal, or interference that was not flagged")
    if bad & _DATA and not (bad & _NOISE):
        causes += _of_flags(numbers) or ["missing subbands, or solutions that failed"]
    if "astrometric_offset_arcsec" in bad:
        causes.append("ionosphere or refraction since the calibrator, or delays")
    return tuple(causes)


def _of_data(bad: set[str], numbers: Mapping[str, Any]) -> list[str]:
    """Why data are not what they should be as they came; faults of the conversion name themselves."""
    causes = []
    if "flagged_fraction" in bad:
        part = f"{numbers['flagged_fraction']:.0%} of the data"
        causes.append(f"missing subbands, or values that nobody can use ({part}: NaN, or of no samples)")
    if bad & {"zero_fraction", "n_dark_subbands"}:
        causes.append("a recorder or correlator node that wrote nothing")
    if "n_dead_antennas" in bad:
        causes.append(f"{numbers['n_dead_antennas']:.0f} antennas without power")
    return causes


def _of_noise(numbers: Mapping[str, Any]) -> list[str]:
    """Why a residual may hold more than noise."""
    causes = _strong(numbers)
    centre, edge = (numbers.get(f"noise_excess_{where}") for where in ("centre", "edge"))
    if centre and edge and centre / edge > _FOLLOWS_BEAM:
        causes.append(
            "bright sources that one gain for each antenna does not take away (the excess follows the beam): "
            "dishes that point elsewhere, beams that differ, gains that walked"
        )
    causes += _of_flags(numbers)
    return causes or [
        "interference that was not flagged, data that are wrong, or antennas whose gains changed"
    ]


def _of_flags(numbers: Mapping[str, Any]) -> list[str]:
    """What takes data away, if it is much, the larger part first."""
    flagged, antennas = (numbers.get(name) or 0.0 for name in ("flag_fraction", "bad_antenna_fraction"))
    # A baseline is lost with either of its antennas.
    with_antennas = 1.0 - (1.0 - min(antennas, 1.0)) ** 2
    others = 1.0 - (1.0 - flagged) / (1.0 - with_antennas) if with_antennas < 1.0 else 0.0
    causes: list[tuple[float, str]] = []
    if others > _MUCH_FLAGGED:
        left = " of what bad antennas leave" if antennas > _MANY_BAD else ""
        causes.append((others, f"interference or missing subbands ({others:.0%}{left} is flagged)"))
    if antennas > _MANY_BAD:
        causes.append(
            (with_antennas, f"bad antennas ({antennas:.0%} of them, {with_antennas:.0%} of the data)")
        )
    return [words for _, words in sorted(causes, reverse=True)]


def _strong(numbers: Mapping[str, Any]) -> list[str]:
    """The Sun and its like, if one appears bright; the Sun only if short spacings hold more than noise."""
    names = {"sun": "the Sun", "casa": "Cas A", "cyga": "Cyg A", "taua": "Tau A", "vira": "Vir A"}
    # Longer spacings resolve the Sun.
    if (numbers.get("short_spacing_excess") or 0.0) < _OF_NOISE:
        del names["sun"]
    found = [
        (float(numbers[f"{STRONG}{key}_jy"]), words)
        for key, words in names.items()
        if (numbers.get(f"{STRONG}{key}_jy") or 0.0) >= _VERY_STRONG_JY
    ]
    return [f"{words} (about {jy:.0f} Jy in the dishes' sidelobes)" for jy, words in sorted(found)[::-1]]
