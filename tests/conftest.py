"""What every test may ask for: the reference data beside the repository, one thread, a fixed seed."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real annotations, predictions and videos beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("reference data not found: expected it in ../shared/data beside the checkout")
    return SHARED
