"""What starts runs and raises alerts: each sensor reads the station database and decides."""
