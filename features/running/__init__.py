"""Many videos by many workers: jobs, watchdog, reports."""
