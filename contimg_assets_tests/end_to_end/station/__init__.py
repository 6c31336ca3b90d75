"""A station with workers: its services, its faults, and what must be true after them."""
