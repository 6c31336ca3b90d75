"""The stages: one module each, from typed inputs and options to a typed result.

A stage is what a command, a step of the asset graph and a worker node run:
``run(inputs, options, context) -> result``.  Belongs here: which functions of
``radio/`` one stage is made of, and in which order.  Does not belong here: the
science (``radio/``), settings, command lines, databases.  Importing a stage's
module must be cheap: numpy, astropy and casacore are imported when it runs.
"""
