"""What a clip shows: cues, clips of frames, motion between two frames."""
