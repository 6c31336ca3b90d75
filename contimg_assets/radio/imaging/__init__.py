"""From calibrated visibilities to images."""
