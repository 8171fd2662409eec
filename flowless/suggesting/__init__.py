"""What suits a data set: its lengths measured, settings that follow from them, and what these cost."""
