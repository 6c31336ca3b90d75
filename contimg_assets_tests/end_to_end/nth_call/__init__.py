"""Every operation on a home is killed, or refused, at each of its system calls in turn."""
