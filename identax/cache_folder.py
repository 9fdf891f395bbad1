"""Where what is kept between runs lies unless somebody says otherwise."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/identax`, by default `~/.cache/identax`; a relative `XDG_CACHE_HOME` is ignored, as XDG says."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "identax"
