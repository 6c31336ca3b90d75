"""Images as data: FITS files, components, noise maps, source lists, provenance."""
