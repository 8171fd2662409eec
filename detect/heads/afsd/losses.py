"""What AFSD's predictions are off by: from ground truth, and from a teacher that looked at the same places."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.heads.afsd.config import AFSDConfig
from detect.heads.afsd.pooling import pool_boundaries, regions_around
from detect.heads.afsd.targets import at_first_frames
from detect.heads.base import Assignment, Predictions
from detect.losses import Whole, as_counted, iou_1d, mean_of_samples, soft_cross_entropy

TINY = 1e-6  # added to probabilities by the published focal loss


def of_truth(
    predictions: Predictions,
    assignment: Assignment,
    mask: Tensor,
    normaliser: float,
    config: AFSDConfig,
    whole: Whole = as_counted,
) -> dict[str, Tensor]:
    """Losses by name; mask (B, T) of the samples.

    offset is 1 - IoU: seen from a common point inside both segments, GIoU is IoU.
    """
    valid, positive, refined = predictions["valid"], assignment["positive"], assignment["refined"]
    distances, wanted = predictions["distances"].float(), assignment["distances"]
    offsets, refinements = predictions["refined_offsets"].float(), whole(refined.sum()).clamp(min=1)
    apart = (F.smooth_l1_loss if config.smooth else F.l1_loss)(offsets, assignment["refined_offsets"], reduction="none")
    with torch.no_grad():  # the published code lets the quality's loss move the segments to where it is easily told
        better = distances + 0.5 * distances.sum(2, keepdim=True) * offsets
        quality = iou_1d(better, wanted).clamp(0, 1)
    misjudged = F.binary_cross_entropy_with_logits(predictions["quality"].float(), quality, reduction="none")
    coarse = softmax_focal(predictions["logits"].float(), assignment["classes"], config)
    fine = softmax_focal(predictions["refined_logits"].float(), assignment["refined_classes"], config)
    off = torch.where(positive, 1 - iou_1d(distances, wanted), 0.0).sum()
    start, end = of_boundaries(predictions, assignment["boundaries"], mask, config, whole)
    return {
        "class": (coarse * valid).sum() / normaliser,
        "offset": config.offset_weight * off / normaliser,
        "refined_class": (fine * valid).sum() / refinements,
        "refined_offset": config.offset_weight * (apart * refined[:, :, None]).sum() / refinements,
        "quality": (misjudged * positive).sum() / normaliser,
        "start": start,
        "end": end,
    }


def softmax_focal(logits: Tensor, shares: Tensor, config: AFSDConfig) -> Tensor:
    """Focal loss of classes that exclude one another, background last: (B, N, C + 1) twice -> (B, N)."""
    probability = logits.softmax(2) + TINY
    weight = torch.full_like(probability[0, 0], 1 - config.focal_alpha)
    weight[-1] = config.focal_alpha
    return -(shares * weight * (1 - probability) ** config.focal_gamma * probability.log()).sum(2)


def of_boundaries(
    predictions: Predictions, maps: Tensor, mask: Tensor, config: AFSDConfig, whole: Whole = as_counted
) -> tuple[Tensor, Tensor]:
    """Of starts and of ends: binary cross-entropy, the mean over real frames, and over steps of the first level."""
    frames = config.frames
    real = mask.repeat_interleave(frames, dim=1)[:, :, None]
    in_frames = masked_bce(predictions["boundaries"], maps, real, whole)  # (2,)
    labels = at_first_frames(maps, frames).repeat(1, 1, 2)
    in_steps = masked_bce(predictions["step_boundaries"], labels, mask[:, :, None], whole).view(2, 2).sum(0)
    start, end = (in_frames + config.map_weight * in_steps).unbind()
    return start, end


def masked_bce(probability: Tensor, labels: Tensor, real: Tensor, whole: Whole = as_counted) -> Tensor:
    """(B, S, K) twice and (B, S, 1) -> (K,), means over real steps."""
    wrong = F.binary_cross_entropy(probability.float(), labels, reduction="none") * real
    return wrong.sum((0, 1)) / whole(real.sum()).clamp(min=1)


def of_teacher(
    student: Predictions, teacher: Predictions, mask: Tensor, config: AFSDConfig, whole: Whole = as_counted
) -> dict[str, Tensor]:
    """The student's predictions against the teacher's, both refined at the teacher's proposals.

    class, refined_class: ½|q - p| · KL(p ‖ q) of points; offset: 1 - IoU; refined_offset: L1 in half lengths; quality:
    |q - p| · KL of its probability. The latter three are weighed by the teacher's confidence that there is an action,
    coarse or refined, and all five are divided by the sum of confidences, at least 1. maps: mean squared difference
    of starts and ends, in frames and in the first level.
    """
    valid = student["valid"] & teacher["valid"]
    teacher = {name: value.detach() for name, value in teacher.items() if value.is_floating_point()}
    sure, surer = (sureness(teacher[name].float()) * valid for name in ("logits", "refined_logits"))
    total, refined_total = whole(sure.sum()).clamp(min=1), whole(surer.sum()).clamp(min=1)
    apart = (student["refined_offsets"].float() - teacher["refined_offsets"].float()).abs().sum(2)
    judged = soft_cross_entropy(student["quality"].float(), teacher["quality"].float())
    off = 1 - iou_1d(student["distances"].float(), teacher["distances"].float())
    real = mask.repeat_interleave(config.frames, dim=1)[:, :, None]
    in_frames = masked_square(student["boundaries"], teacher["boundaries"], real, whole)
    in_steps = masked_square(student["step_boundaries"], teacher["step_boundaries"], mask[:, :, None], whole)
    return {
        "class": (mimicry(student["logits"], teacher["logits"]) * valid).sum() / total,
        "offset": config.offset_weight * (off * sure).sum() / total,
        "refined_class": (mimicry(student["refined_logits"], teacher["refined_logits"]) * valid).sum() / refined_total,
        "refined_offset": config.offset_weight * (apart * surer).sum() / refined_total,
        "quality": (judged * surer).sum() / refined_total,
        "maps": in_frames + config.map_weight * in_steps,
    }


def of_cut_action(
    maps: Sequence[Tensor], places: Tensor, lengths: Tensor, frames: int, whole: Whole = as_counted
) -> Tensor:
    """The end of an action's first part is like the start of its second, and unlike that of what was put between.

    maps: in frames (B, frames · T, D), then in steps (B, T, 2D), starts in the first half of channels, ends in the
    other; places (B, 3, 2) in cells as `consistency.cut_action` has them; lengths (B,) real steps. A margin of 1
    between Euclidean distances; maps in steps count a tenth. Mean over samples.
    """
    start, end = (places * frames).unbind(2)
    regions = regions_around(start, end, end - start + 1)
    terms = []
    for values, weight, rate in zip(maps, (1.0, 0.1, 0.1), (1, frames, frames), strict=True):
        last = (lengths * frames // rate - 1)[:, None]
        starts, ends = pool_boundaries(values.float(), (regions / rate).trunc(), last).chunk(2, dim=2)
        terms.append(weight * F.triplet_margin_loss(ends[:, 0], starts[:, 1], starts[:, 2], reduction="none"))
    return mean_of_samples(torch.stack(terms).sum(0), whole)


def sureness(logits: Tensor) -> Tensor:
    """(B, N): the probability of anything but background."""
    return 1 - logits.softmax(2)[..., -1]


def mimicry(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """½ |q - p| · KL(p ‖ q) of classes that exclude one another: (B, N, C + 1) twice -> (B, N).

    As `detect.losses.soft_cross_entropy`: where both say "background" nothing is weighed.
    """
    log_q, log_p = logits.float().log_softmax(2), teacher_logits.float().log_softmax(2)
    divergence = (log_p.exp() * (log_p - log_q)).sum(2)
    return 0.5 * (log_q.exp() - log_p.exp()).abs().sum(2) * divergence


def masked_square(values: Tensor, others: Tensor, real: Tensor, whole: Whole = as_counted) -> Tensor:
    """Sum over channels of the mean squared difference over real steps: (B, S, K) twice and (B, S, 1) -> scalar."""
    return ((values.float() - others.float()).square() * real).sum() / whole(real.sum()).clamp(min=1)
