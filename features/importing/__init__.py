"""Features made elsewhere, on their way into a store."""
