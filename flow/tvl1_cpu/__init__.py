"""TV-L1 compiled by numba: vectors, layout, warps, medians and the inner iteration."""
