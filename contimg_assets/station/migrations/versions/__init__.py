"""One module per revision of the catalogue's schema."""
