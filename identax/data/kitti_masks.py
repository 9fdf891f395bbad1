"""KITTI Masks: binary masks of pedestrians in street videos, pairs of near frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from identax.checks import check_count
from identax.data._checks import home_expanded, indices_of
from identax.data._pickles import arrays_only
from identax.dgp.base import Sample

_FILE = "kitti_peds_v2.pickle"
_FETCH = f"curl -L -o {{path}} 'https://zenodo.org/records/3931823/files/{_FILE}?download=1'"
_SIDE = 64
_FACTORS = 3


class KittiMasks(NamedTuple):
    """Sequences of `masks` [T, 64, 64] (uint8, 0 or 1) and their `latents` [T, 3] (float32).

    Latents: vertical and horizontal centre of mass, area, in the units of the file.
    """

    masks: tuple[np.ndarray, ...]
    latents: tuple[np.ndarray, ...]


def load_kitti_masks(path: str | Path) -> KittiMasks:
    """Reads the published `kitti_peds_v2.pickle` (Zenodo record 3931823), or the one in the folder `path`.

    Only NumPy arrays, numbers, strings, lists and dicts are unpickled; a file that names anything else is refused and
    none of its code runs.
    Raises `ValueError` where the file is missing (with the command that fetches it), truncated or not a pickle, or
    where its content is not a list of 64 x 64 binary sequences with three latents a frame.
    Source: Klindt et al. 2021; Zimmermann et al. 2021.
    """
    path = Path(home_expanded(path))
    path = path / _FILE if path.is_dir() else path
    if not path.exists():
        raise ValueError(f"load_kitti_masks: found no file {path}; run: {_FETCH.format(path=path)}")
    try:
        content = arrays_only(path.read_bytes())
    except ValueError as error:
        raise ValueError(_broken(path, str(error))) from error
    wanted = ("pedestrians", "pedestrians_latents")
    if not isinstance(content, dict) or any(name not in content for name in wanted):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(_broken(path, f"found {found}, wanted a dict with {list(wanted)}"))
    return _checked(path, *(content[name] for name in wanted))


class KittiPairs:
    """All pairs of a start frame and one of the `max_delta_t` frames behind it, for `identax.data.epoch_batches`.

        index i -> start i // max_delta_t (never the last frame of its sequence), step 1 + i mod max_delta_t,
        second frame min(start + step, last)

    So a shuffled epoch draws starts and steps U{1..max_delta_t} uniformly, each combination once, and the order needs
    no random state. An example is `Sample(latents=(z, z_pos) [3], observations=(x, x_pos) [64, 64, 1])`, float32;
    the authors' batch of 64 images, in which the two alternate, is 32 examples.
    Raises `ValueError` for max_delta_t < 1 or data without any sequence of two frames.
    Source: Zimmermann et al. 2021, code; max_delta_t 1 is a mean distance of 0.05 s, 5 of 0.15 s.
    """

    parallel = True  # for epoch_batches

    def __init__(self, data: KittiMasks, *, max_delta_t: Any = 1) -> None:
        check_count("KittiPairs", "max_delta_t", max_delta_t)
        lengths = np.array([len(sequence) for sequence in data.masks])
        self._max_delta_t = max_delta_t
        self._frames = np.concatenate(data.masks) if len(lengths) else np.zeros((0, _SIDE, _SIDE), np.uint8)
        self._latents = np.concatenate(data.latents) if len(lengths) else np.zeros((0, _FACTORS), np.float32)
        ends = np.cumsum(lengths)
        self._last = np.repeat(ends - 1, lengths)  # of the sequence that a frame belongs to
        self._starts = np.flatnonzero(np.arange(len(self._frames)) < self._last)
        if not len(self._starts):
            raise ValueError(f"KittiPairs: found sequences of {lengths.tolist()} frames, wanted one of at least 2")

    def __len__(self) -> int:
        return len(self._starts) * self._max_delta_t

    def __getitem__(self, index: int, /) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"KittiPairs: found index {index}, wanted 0 to {len(self) - 1}")
        batch = self.read_batch(np.array([index]))
        return Sample(*(tuple(leaf[0] for leaf in pair) for pair in (batch.latents, batch.observations)))

    def read_batch(self, indices: Any, /) -> Sample:
        """The pairs `indices` [B], stacked; raises `ValueError` for such as are not there."""
        indices = indices_of("KittiPairs.read_batch", indices, len(self))
        first = self._starts[indices // self._max_delta_t]
        second = np.minimum(first + 1 + indices % self._max_delta_t, self._last[first])
        frames = tuple(self._frames[at][..., None].astype(np.float32) for at in (first, second))
        return Sample(latents=(self._latents[first], self._latents[second]), observations=frames)


def _broken(path: Path, what: str) -> str:
    return f"load_kitti_masks: {path} is not the published file ({what}); run: {_FETCH.format(path=path)}"


def _checked(path: Path, masks: Any, latents: Any) -> KittiMasks:
    if not all(isinstance(part, Sequence | np.ndarray) for part in (masks, latents)) or len(masks) != len(latents):
        raise ValueError(_broken(path, "found other than two lists of one length"))
    if not len(masks):
        raise ValueError(_broken(path, "found no sequence"))
    for number, (mask, latent) in enumerate(zip(masks, latents, strict=True)):
        mask, latent = np.asarray(mask), np.asarray(latent)
        if mask.ndim != 3 or mask.shape[1:] != (_SIDE, _SIDE) or mask.dtype.kind not in "bu":
            what = f"sequence {number}: found {mask.dtype} masks of shape {mask.shape}"
            raise ValueError(_broken(path, f"{what}, wanted boolean or unsigned [T, {_SIDE}, {_SIDE}]"))
        if mask.dtype.kind == "u" and mask.size and mask.max() > 1:
            raise ValueError(_broken(path, f"sequence {number}: found mask values up to {mask.max()}, wanted 0 and 1"))
        if latent.shape != (len(mask), _FACTORS) or latent.dtype.kind not in "fiu":
            what = f"sequence {number}: found {latent.dtype} latents of shape {latent.shape}"
            raise ValueError(_broken(path, f"{what}, wanted numbers ({len(mask)}, {_FACTORS})"))
        if not np.isfinite(latent).all():
            raise ValueError(_broken(path, f"sequence {number}: found latents that are not finite"))
    return KittiMasks(
        tuple(np.asarray(mask).astype(np.uint8) for mask in masks),
        tuple(np.asarray(latent).astype(np.float32) for latent in latents),
    )
