"""Alembic's migrations of the station database, run by :func:`contimg_assets.station.database.upgrade`."""
