"""contimg: a Dagster asset graph from DSA-110 UVH5 files to continuum images.

This package root holds no code.  ``radio`` is the science and knows no engine;
``assets``, ``checks``, ``sensors``, ``resources`` and ``io_managers`` are the
Dagster layer and know no science; ``simulation`` writes observations with a
known truth; ``cli`` is the command line that both people and Dagster steps run.
"""

__version__ = "0.1.0"
