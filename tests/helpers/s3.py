"""An S3 on loopback, by moto, for the tests of object storage."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

needs_s3 = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("moto", "s3fs", "upath")),
    reason="moto, s3fs or universal-pathlib is not installed",
)


@contextmanager
def s3_on_loopback(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server with an empty bucket `bucket`, which this process and those it starts take for S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "not-a-real-key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        import s3fs

        urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST"))  # All servers of a process share.
        s3fs.S3FileSystem.clear_instance_cache()  # One made before may know another server.
        s3fs.S3FileSystem(use_listings_cache=False).mkdir("bucket")
        yield
        s3fs.S3FileSystem.clear_instance_cache()
    finally:
        server.stop()
