"""From an observation group's UVH5 files to one Measurement Set."""
