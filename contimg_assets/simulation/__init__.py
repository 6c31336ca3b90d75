"""Observation groups with a known truth, in the telescope's exact file format.

Belongs here: sky, instrument and interference as they are, and the file writer.
Nothing here is used by the pipeline; the pipeline's geometry (``radio.phasing``)
and beam are used here, so tests hold both against independent implementations, of
which ``independent/`` is one: a second simulator that uses nothing of the pipeline.
"""
