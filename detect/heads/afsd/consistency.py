"""Boundary consistency: an action is cut in two, and a stretch of background from elsewhere put between the parts.

Whatever the head takes for a boundary there must come from the background: the end of the first part should look like
the start of the second (AFSD, section 3.4). Steps of cached features are moved where the published code moves frames.
"""

import numpy as np
import torch

from detect.heads.base import Rearranged, Targets


def cut_action(targets: Targets, num_steps: int, frames: int, generator: np.random.Generator) -> Rearranged | None:
    """A sample whose steps have been moved so; None where no action is long enough, or no background.

    The stretch is as long as the shortest action; an action of more than twice that is cut, neither part shorter.
    places: (3, 2) first part, second part, background without its first and last frame of `frames` a step; in cells,
    after the move.
    """
    actions = np.asarray(targets.segments.numpy(), np.float64) + 0.5  # cells
    if not len(actions):
        return None
    size = max(int(np.ceil((actions[:, 1] - actions[:, 0]).min())), 1)
    long = actions[actions[:, 1] - actions[:, 0] > 2 * size].clip(0, num_steps)
    candidates = [(a, b) for a, b in long if np.floor(b - size) > np.ceil(a + size)]
    free = background_of(actions, num_steps, size)
    if not candidates or not len(free):
        return None
    start, end = candidates[int(generator.integers(len(candidates)))]
    cut = int(generator.integers(int(np.ceil(start + size)), int(np.floor(end - size)) + 1))
    taken = int(free[int(generator.integers(len(free)))])
    steps, frame = np.arange(num_steps), 1 / frames
    stretch = steps[taken : taken + size]
    if taken >= end:  # what lies between moves to the right
        order = np.concatenate([steps[:cut], stretch, steps[cut:taken], steps[taken + size :]])
        places = [(start, cut), (cut + size, end + size), (cut + frame, cut + size - frame)]
    else:  # to the left
        order = np.concatenate([steps[:taken], steps[taken + size : cut], stretch, steps[cut:]])
        places = [(start - size, cut - size), (cut, end), (cut - size + frame, cut - frame)]
    return Rearranged(torch.from_numpy(order), torch.tensor(places, dtype=torch.float32))


def background_of(actions: np.ndarray, num_steps: int, size: int) -> np.ndarray:
    """The steps from which `size` steps on lie in no action."""
    busy = np.zeros(num_steps + 1, np.int64)
    at = np.arange(num_steps)
    for start, end in actions:
        busy[1:] += (at + 1 > start) & (at < end)
    total = busy.cumsum()
    return (
        np.flatnonzero(total[size:] - total[: len(total) - size] == 0) if num_steps >= size else np.zeros(0, np.int64)
    )
