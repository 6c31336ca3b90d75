"""Model, solving, choosing and applying of calibration."""
