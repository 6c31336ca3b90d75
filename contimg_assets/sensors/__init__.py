"""What starts runs and raises alerts: each sensor reads the catalogue and decides."""
