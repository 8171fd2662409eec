"""Memory of G-TAD's map: projecting steps before they are sampled into segments, against sampling first.

    python tests/bench/bench_gtad_alignment.py

THUMOS'14 size: 256 steps, 64 durations, 16 + 16 bins, 256 channels, one sample, one thread. Each way is a process of
its own; memory is what it holds at most in a forward and a backward pass beyond what it held before. Ratio: megabytes
of sampling first / ours; bar 8. Both give the same numbers, which is checked first.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.heads.gtad.align import alignment
from detect.heads.gtad.graph import nearest
from detect.heads.gtad.head import GTADConfig, SegmentMap

BAR = 8.0


def sampled_first(segment_map: SegmentMap, x: Tensor) -> Tensor:
    """The map of one sample without padding, x (1, T, D), as published: (D·T, 2 · bins · channels), then all layers."""
    config, steps = segment_map.config, x.shape[1]
    durations, bins, width = config.durations, config.bins, config.width
    operator = alignment(steps, durations, bins, x.device)
    row, column = operator.matrix.indices()
    index = torch.stack([row * bins + column % bins, column // bins])
    size = (durations * steps * bins, steps + 1)
    per_bin = torch.sparse_coo_tensor(index, operator.matrix.values(), size, check_invariants=False).coalesce()
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    edge, streams = operator.edge, [x[0], nearest(x, mask, config.neighbours).mean(x)[0]]
    start = steps - edge.before
    inside = start >= 0
    at = (edge.d * steps + start)[inside], edge.bin[inside]
    sampled = []
    for stream in streams:
        seen = torch.sparse.mm(per_bin, torch.cat([stream, stream[-1:]])).view(durations * steps, bins, width)
        sampled.append(seen.index_put(at, -stream[-1] * edge.weight[inside, None], accumulate=True))
    segments = torch.stack(sampled, 1).permute(0, 3, 1, 2).flatten(1)  # channel · 2 · bins + bin
    ends = torch.arange(steps) + torch.arange(durations)[:, None]
    share = operator.second[:, None]
    beyond = torch.stack([(1 - share) * stream[0] + share * stream[1] for stream in streams]).permute(2, 0, 1).flatten()
    inner = F.relu(segment_map.narrow(F.relu(segment_map.entry(segments)))).view(durations, steps, -1)
    beyond = F.relu(segment_map.narrow(F.relu(segment_map.entry(beyond))))
    inner = torch.where((ends < steps)[:, :, None], inner, beyond).permute(2, 0, 1)[None]
    logits: Tensor = segment_map.output(F.relu(segment_map.second(F.relu(segment_map.first(inner)))))
    return logits


def projected_first(segment_map: SegmentMap, x: Tensor) -> Tensor:
    logits: Tensor = segment_map(x, torch.ones(x.shape[:2], dtype=torch.bool))
    return logits


WAYS = {"projected_first": projected_first, "sampled_first": sampled_first}


def subject() -> tuple[SegmentMap, Tensor]:
    torch.manual_seed(0)
    config = GTADConfig()
    alignment(config.length, config.durations, config.bins, torch.device("cpu"))  # constant: not of a step
    return SegmentMap(config), torch.randn(1, config.length, config.width)


def resident(field: str) -> int:
    """Bytes of this process: VmRSS, now, or VmHWM, at most so far."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return 1024 * int(line.split()[1])


def cost(way: str) -> None:
    segment_map, x = subject()
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far becomes what is held now
    before, start = resident("VmRSS"), time.process_time()
    WAYS[way](segment_map, x.requires_grad_()).square().mean().backward()
    print(json.dumps({"mb": round((resident("VmHWM") - before) / 1e6), "s": round(time.process_time() - start, 2)}))


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        cost(sys.argv[1])
        return
    segment_map, x = subject()
    with torch.no_grad():
        ours, theirs = (way(segment_map, x) for way in WAYS.values())
    apart = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    assert apart <= 1e-4, f"the two ways differ by {apart:.1e}"
    row: dict[str, object] = {"bench": "gtad alignment", "difference": float(f"{apart:.1e}")}
    costs = {}
    for way in WAYS:
        said = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True, text=True).stdout
        costs[way] = json.loads(said)
        row |= {f"{way}_{unit}": value for unit, value in costs[way].items()}
    ratio = costs["sampled_first"]["mb"] / costs["projected_first"]["mb"]
    print(json.dumps(row | {"ratio": round(ratio, 1), "bar": BAR, "passed": ratio >= BAR}), flush=True)


if __name__ == "__main__":
    main()
