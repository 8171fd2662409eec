"""Networks that learn from clips of many videos: motion students, and backbones fine-tuned on labelled actions."""
