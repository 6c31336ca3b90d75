"""Thin IO managers over the product store."""
