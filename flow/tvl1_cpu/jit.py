"""How the TV-L1 pages are compiled: numba's target, its vector width, and a cache on disk that cannot go stale.

Numba caches a compiled function under the file that defines it and does not see a change in a page it calls. All pages
of the solver therefore share one cache folder named by a digest of their sources: edit one and all compile afresh.
Folders are tried in this order: $NUMBA_CACHE_DIR, `__pycache__` beside this file, the user's cache, the temporary
directory; so an installation that nobody may write to still compiles once and not in every process.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numba.core.config
from numba.core.registry import cpu_target

config: Any = numba.core.config

PAGES = ("jit", "simd", "quads", "layout", "iteration", "median", "warp", "resize", "level")


def _vector_lanes() -> int:
    """16 floats where a register holds 64 bytes (AVX-512), else 8. FLOWLESS_LANES overrides; results do not
    depend on it.

    Read from numba's own target, so that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are honoured.
    """
    if "FLOWLESS_LANES" in os.environ:
        return int(os.environ["FLOWLESS_LANES"])
    features = cpu_target.target_context.codegen().magic_tuple()[2]
    return 16 if "+avx512f" in str(features).split(",") else 8


def _digest_of_pages() -> str:
    digest = hashlib.sha256(f"{LANES}".encode())
    for page in PAGES:
        digest.update(Path(__file__).with_name(f"{page}.py").read_bytes())
    return digest.hexdigest()[:12]


def _cache_candidates() -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    yield Path(__file__).parent / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowless"
    yield Path(tempfile.gettempdir()) / f"flowless-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


def _cache_folder() -> Path | None:
    """The first folder that can be written to, or None: then every process compiles for itself."""
    for candidate in _cache_candidates():
        folder = candidate / f"tvl1-{_digest_of_pages()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except (OSError, RuntimeError):
            continue
    return None


def _start_numba() -> None:
    """Sets numba's registries up without the linear algebra of SciPy, which they load: 14 MB in every worker for
    functions that no page of the solver calls. Whoever compiles one of them later in this process gets it all the same.
    """
    if "scipy.linalg" in sys.modules:
        return
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # importing it fails, which numba is prepared for
    try:
        cpu_target.target_context.refresh()
    finally:
        del sys.modules["scipy.linalg"]


_start_numba()
LANES = _vector_lanes()
CACHE_FOLDER = _cache_folder()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`numba.njit` as all pages of the solver use it.

    No fastmath: nothing is contracted or reassociated, so the same bits come out of every machine. The 'numpy' error
    model drops the check for a zero divisor, which would keep loops scalar. The lock of the interpreter is released.
    """
    return _compile(function, inline="never")


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """For small functions that vanish in their callers."""
    return numba.njit(inline="always", error_model="numpy")(function)


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    before = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_FOLDER or "")
    try:
        return numba.njit(error_model="numpy", nogil=True, cache=CACHE_FOLDER is not None, **options)(function)
    finally:
        config.CACHE_DIR = before
