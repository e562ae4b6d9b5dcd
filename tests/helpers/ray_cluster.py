"""Ray for tests: small, of this machine alone, and on loopback only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

#: Nothing listens beyond loopback, nothing is reported, and no token is left in the user's home.
SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


@contextmanager
def ray_alone(cpus: int) -> Iterator[None]:
    """A Ray of this machine with so many processors, that this process is connected to."""
    os.environ.update(SETTINGS)  # Before Ray is imported, and for the processes it starts.
    import ray

    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=100_000_000,
        configure_logging=False,
        log_to_driver=False,
    )
    try:
        yield
    finally:
        ray.shutdown()
