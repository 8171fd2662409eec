"""Whether a network is being exported, for the torch versions that say so and for those before them."""

import torch

exporting = getattr(torch.compiler, "is_exporting", lambda: False)  # detect.export asks for torch 2.9
