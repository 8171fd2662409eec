"""What TV-L1 is whatever computes it: parameters, image pyramid, gray frames."""
