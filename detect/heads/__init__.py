"""Detection heads: one folder each, one dictionary."""

from detect.heads.actionformer.head import ActionFormer
from detect.heads.afsd.head import AFSD
from detect.heads.base import Head
from detect.heads.gtad.head import GTAD
from detect.heads.tadtr.head import TadTR
from detect.heads.tags.head import TAGS

HEADS: dict[str, type[Head]] = {
    "actionformer": ActionFormer,
    "afsd": AFSD,
    "gtad": GTAD,
    "tadtr": TadTR,
    "tags": TAGS,
}
