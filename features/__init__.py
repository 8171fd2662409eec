"""The shelf between pixels and tensors: clip grids, the feature store, jobs over many videos."""
