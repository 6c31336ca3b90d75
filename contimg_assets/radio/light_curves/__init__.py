"""Measurements of many groups, in the order of sky and time, and what corrects them."""
