"""One module per revision of the station database's schema."""
