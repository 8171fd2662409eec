"""TV-L1 in Triton kernels."""
