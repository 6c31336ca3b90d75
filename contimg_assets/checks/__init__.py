"""Quality checks: numbers of the ``*_qa`` assets held against the limits."""
