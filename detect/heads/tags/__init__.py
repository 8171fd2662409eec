"""TAGS: the head, its network, targets and losses, and how masks become segments."""
