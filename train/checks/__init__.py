"""Features and annotations compared with each other before anything is learnt: what would stop a run, or spoil it."""
