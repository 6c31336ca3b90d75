"""What light curves say of their sources."""
