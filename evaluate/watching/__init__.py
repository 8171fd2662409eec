"""A page to watch videos with what was detected in them: what it is made of, and the program that runs in it."""
