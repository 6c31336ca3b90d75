"""The pages that people look at: made by the server from the same views as the API and the command line.

Belongs here: one module a page.  Does not belong here: what the pages say (``station/``), or the API.
"""
