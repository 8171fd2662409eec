"""What a run learns from: videos, labels, samples."""
