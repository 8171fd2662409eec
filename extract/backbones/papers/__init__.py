"""The backbones of the paper (Lee et al., CVPR 2023, arXiv:2303.17285) beside I3D: TSM, Slow and SlowFast."""

from extract.backbones.base import Backbone
from extract.backbones.papers.slowfast import SLOW_AND_SLOWFAST
from extract.backbones.papers.tsm import TSM_NETWORKS

PAPERS: tuple[type[Backbone], ...] = (*TSM_NETWORKS, *SLOW_AND_SLOWFAST)
