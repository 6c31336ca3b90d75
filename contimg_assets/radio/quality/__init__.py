"""Numbers and pictures by which products are judged, and the limits on them."""
