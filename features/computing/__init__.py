"""How networks compute on this machine: precision, memory, other runtimes."""
