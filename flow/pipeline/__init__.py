"""From videos to motion stores: settings, jobs, chunks, quantised flow at rest."""
