"""The detector: branches, fusion, one head, and the file that holds it whole."""
