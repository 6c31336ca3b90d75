"""What an installation knows and does: plain Python over SQL and files, without Dagster."""
