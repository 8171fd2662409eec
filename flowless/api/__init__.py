"""What `import flowless` offers to Python: a page of functions for each step from features to a picture."""
