"""Detection heads: one folder each, one dictionary."""

from detect.heads.actionformer.head import ActionFormer
from detect.heads.base import Head
from detect.heads.gtad.head import GTAD

HEADS: dict[str, type[Head]] = {"actionformer": ActionFormer, "gtad": GTAD}
