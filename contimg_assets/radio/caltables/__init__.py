"""Calibration tables as data: reading solutions, Jones matrices of antennas, what they were solved with."""
