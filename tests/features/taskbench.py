"""Tasks that do what real ones do at their worst; run in child processes by the tests of features.running.jobs."""

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features.storage.store import Part, fingerprint, write_part

Beat = Callable[[int], None]


def add(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    beat(1)
    return {"sum": payload["a"] + payload["b"], "pid": os.getpid(), "threads": int(os.environ["OMP_NUM_THREADS"])}


def echo(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    """Writes nothing, and has much to say."""
    return {"frames": 1, "said": payload["video"] * 1000}


def noisy(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    """Prints from Python and from C on stdout, half a line and half a message at a time."""
    print('{"done": {"fake": 1}}')
    ctypes.CDLL(None).puts(b'{"beat": "x"')
    ctypes.CDLL(None).fflush(None)
    os.write(1, b'{"failed"')
    return {"seen": np.float32(0.5), "notes": ["a word to the user"]}


def several(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    """Many jobs in one; the one called bad fails."""
    failure = {"cause": "VideoError", "message": "cut short"}
    outcomes = ({"record": {"frames": 1}} if key != "bad" else failure for key in payload["keys"])
    return {
        "jobs": [{"key": k, "video": f"video of {k}", **one} for k, one in zip(payload["keys"], outcomes, strict=True)]
    }


def refuse(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    raise LookupError(payload.get("message", "no such thing"))


def crash(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    beat(0)
    time.sleep(0.25)
    beat(7)
    sys.stderr.write("native decoder: macroblock 12 is broken\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def crash_once(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    marker = Path(payload["marker"])
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def hang(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    """Blocks in native code with every signal that could be caught held off, as a decoder that hangs does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    ctypes.PyDLL(None).sleep(60)  # PyDLL keeps the interpreter lock
    return {}


def hoard(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    """Takes 20 MB every 20 ms up to a harmless size, and goes on beating for a minute."""
    kept = []
    for count in range(3000):
        if len(kept) < 35:
            kept.append(np.ones(20_000_000 // 8))
        beat(count)
        time.sleep(0.02)
    return {}


def store_video(payload: dict[str, Any], beat: Beat) -> dict[str, Any]:
    """Writes one small part, slowly enough to be killed within it."""
    if "file_limit" in payload:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (payload["file_limit"], resource.RLIM_INFINITY))
    for frame in range(payload.get("frames", 4)):
        time.sleep(payload.get("frame_s", 0.0))
        beat(frame)
    seed = sum(payload["video"].encode())
    features = np.random.default_rng(seed).standard_normal((40, 256))
    arrays = {"features": features, "t_center": np.arange(40.0)}
    attributes = {"fingerprint": fingerprint({"video": payload["video"]}), "feature_id": "x", "fps": 25.0, "stride": 4}
    write_part(Path(payload["store"]), Part(payload["video"], "rgb", arrays, attributes))
    return {"frames": payload.get("frames", 4), "seconds": {"rgb_network": 0.5}, "duration_s": 1.0}
