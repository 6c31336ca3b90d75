"""Alembic migrations of the catalogue, run by :func:`contimg_assets.resources.database.upgrade`."""
