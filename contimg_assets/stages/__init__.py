"""The stages: one module each, typed options and inputs to a typed result."""
