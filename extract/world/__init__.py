"""The synthetic world: textures, motions, scenes, videos."""
