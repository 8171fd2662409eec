"""What the stages of a job cost."""

import time
from collections.abc import Iterator

import pytest

from features.running.stopwatch import Stopwatch


def burn(seconds: float) -> None:
    """Uses the processor for so many CPU seconds, however busy the machine is."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_waiting_costs_no_compute() -> None:
    watch = Stopwatch()
    with watch("wait"):
        time.sleep(0.1)
    with watch("work"):
        burn(0.05)
    assert watch.seconds["wait"] < 0.02
    assert watch.seconds["work"] == pytest.approx(0.05, abs=0.02)


def test_an_inner_stage_pauses_the_outer_one() -> None:
    watch = Stopwatch()
    with watch("outer"):
        burn(0.03)
        with watch("inner"):
            burn(0.06)
        burn(0.03)
    assert watch.seconds["outer"] == pytest.approx(0.06, abs=0.02)
    assert watch.seconds["inner"] == pytest.approx(0.06, abs=0.02)


def test_iterating_counts_the_making_of_items_and_not_their_use() -> None:
    def frames() -> Iterator[int]:
        for frame in range(3):
            burn(0.02)
            yield frame

    watch = Stopwatch()
    used = []
    for frame in watch.iterate("decode", frames()):
        used.append(frame)
        burn(0.03)
    assert used == [0, 1, 2]
    assert watch.seconds["decode"] == pytest.approx(0.06, abs=0.025)


def test_stages_of_one_name_add_up_even_if_one_fails() -> None:
    watch = Stopwatch()
    with pytest.raises(LookupError), watch("work"):
        burn(0.03)
        raise LookupError
    with watch("work"):
        burn(0.03)
    assert watch.seconds["work"] == pytest.approx(0.06, abs=0.02)


@pytest.mark.gpu
def test_work_that_cuda_still_does_is_waited_for() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    x = torch.randn(8192, 8192, device="cuda")
    (x @ x).sum().item()  # warm
    watch = Stopwatch("cuda")
    with watch("network"):
        for _ in range(20):
            x = torch.nn.functional.normalize(x @ x)
    assert watch.seconds["network"] > 20 * 8192**3 * 2 / 2e15  # no device does more than 2 PFLOP/s in float32
