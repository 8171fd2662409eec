"""From videos and weights to features: settings, jobs, the device, one video through networks."""
