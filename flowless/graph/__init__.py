"""Commands that wait for each other: jobs, what of them is done, and how they are run side by side."""
