"""Alembic station/migrations of the catalogue, run by :func:`contimg_assets.station.database.upgrade`."""
