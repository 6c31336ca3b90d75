"""Scales of groups and the primary beam, from sources that groups have in common."""
