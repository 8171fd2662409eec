"""The comparison of methods: which there are, the jobs that make it, its tables and its page."""
