"""Detection heads: one file each, one dictionary."""

from detect.heads.actionformer import ActionFormer
from detect.heads.base import Head

HEADS: dict[str, type[Head]] = {"actionformer": ActionFormer}
