"""The science: visibilities in, calibrated images and numbers out.

Belongs here: everything that an astronomer would recognise.  Does not belong
here: Dagster, SQLAlchemy, partition keys, retries (import-linter holds this).
"""
