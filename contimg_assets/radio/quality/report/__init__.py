"""The page about an image: what it shows (``page.py``), part by part."""
