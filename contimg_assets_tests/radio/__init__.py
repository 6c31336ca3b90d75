"""Tests of the science, without Dagster and without a database."""
