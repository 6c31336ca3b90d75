"""The API: one module for each family of routes, a few lines a handler, over ``station/``.

Belongs here: addresses, what comes in and what goes out.  Does not belong here: statements to the
database, and decisions: those are ``station``'s, where command line and pages find them too.
"""
