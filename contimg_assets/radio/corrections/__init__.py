"""Flags and gains of a group, put together to be applied."""
