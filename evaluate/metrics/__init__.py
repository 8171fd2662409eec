"""Average precision and recall, by the rules of the official evaluators."""
