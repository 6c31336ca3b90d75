"""A second simulator, which shares no code with the pipeline: what it proves is not assumed.

Belongs here: the sky, the atmosphere, dishes, receivers, interference and the
correlator's faults, each by its own formulas (``docs/simulation.md``).  Nothing
here imports ``contimg_assets.radio`` or the other simulator's modules that do;
the station and calibrator tables are read as data.  Does not belong here:
comparing an image with the truth (``simulation/comparison.py``).
"""
