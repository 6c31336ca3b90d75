"""What an installation shows and takes over HTTP: one port, one origin, closed by default.

Belongs here: the guard in front of everything, pages, products, Dagster's own web app behind the guard,
and later the API.  Does not belong here: what those say (``station/``), or how the server is started
from the command line (``cli/serve.py``).  CASA is never imported.
"""
