"""AFSD: the head, its pyramid, and what it pools at the boundaries of its own proposals."""
