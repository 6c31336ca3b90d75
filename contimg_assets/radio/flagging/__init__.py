"""Which visibilities not to believe, and why."""
