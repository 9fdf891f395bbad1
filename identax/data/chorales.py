"""Chorales by J. S. Bach as piano rolls: the scores in the music21 package, or the published JSB Chorales file."""

import importlib
import importlib.metadata
import importlib.util
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.io import loadmat

from identax.cache_folder import cache_folder
from identax.data._checks import home_expanded, whole
from identax.data._musicxml import read_roll

_COMMAND = "pip install 'music21>=10'"
_KEYS = 88
_LOWEST = 21  # MIDI number of a piano's first key
_MELODY = 16
_READ_ERRORS = (
    ValueError,
    OSError,
    NotImplementedError,
    KeyError,
    TypeError,
    IndexError,
    zlib.error,
    zipfile.BadZipFile,
)


class Chorales(NamedTuple):
    """Piano rolls [L, 88] (uint8, 1 where a key is down in that quarter; keys A0 to C8), each part a tuple of them."""

    train: tuple[np.ndarray, ...]
    validation: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]


def load_chorales(path: str | Path | None = None, *, seed: Any = 0, cache: str | Path | None = None) -> Chorales:
    """Reads four-part chorales, one frame per quarter note.

    * `path` None: those of the installed music21's corpus, 350 works of the Riemenschneider edition (19,136 frames),
      parsed once, some 4 s, and kept in the folder `cache` (default `$XDG_CACHE_HOME/identax`, else
      `~/.cache/identax`). The code of music21 is BSD-licensed; the scores have terms of their own, which may forbid
      commercial use: `music21/corpus/license.txt`.
    * a folder: all its scores in MusicXML (`.mxl`, `.xml`, `.musicxml`), in the order of their names, nothing kept.
    * a `.mat` file: the published JSB Chorales (229 / 76 / 77), with its own parts.

    Scores are split by `split_chorales(rolls, seed)`. A note sounds in every quarter that it is held at the beginning
    of; pitches are as written, those beyond the piano's keys are left out.
    Raises `ValueError`, with the command that helps, where music21 or the path is missing, a file is damaged or not
    what it should be, and for a folder with fewer than three scores.
    Source: Boulanger-Lewandowski et al. 2012 (the published file); Reizinger & Gyires-Toth 2019.
    """
    if path is None:
        return split_chorales(_installed(None if cache is None else Path(home_expanded(cache))), seed)
    path = Path(home_expanded(path))
    if path.suffix == ".mat" and path.is_file():
        return _published(path)
    if not path.is_dir():
        raise ValueError(
            f"load_chorales: found no folder or .mat file {path}; copy the published JSB_Chorales.mat there, "
            f"or leave the path out after: {_COMMAND}"
        )
    files = sorted(file for file in path.iterdir() if file.suffix in (".mxl", ".xml", ".musicxml"))
    if len(files) < 3:
        raise ValueError(f"load_chorales: found {len(files)} scores in {path}, wanted three or more of .mxl or .xml")
    return split_chorales(tuple(_read(file, f"take it out of {path}") for file in files), seed)


def split_chorales(rolls: Any, seed: Any = 0) -> Chorales:
    """60 / 20 / 20 % of the rolls, at random (`RandomState(seed)`), settings of one melody always in the same part.

    A melody counts as one where the steps of the highest voice agree over the first 16 quarters, whatever the key: Bach
    set many several times, and two of the works in music21 are there twice. Parts can miss their share by some rolls.
    Raises `ValueError` for fewer than three melodies, other than rolls [L, 88], and a seed outside 0 ... 2^32 - 1.
    Source: own; the published parts are of the same shares.
    """
    rolls = tuple(np.asarray(roll) for roll in rolls)
    if any(roll.ndim != 2 or roll.shape[1] != _KEYS or not len(roll) for roll in rolls):
        raise ValueError(f"split_chorales: found rolls of {sorted({roll.shape[1:] for roll in rolls})}, wanted [L, 88]")
    melodies: dict[tuple, list[int]] = {}
    for number, roll in enumerate(rolls):
        highest = np.where(roll.any(axis=1), _KEYS - 1 - roll[:, ::-1].argmax(axis=1), -1)
        melodies.setdefault(tuple(np.diff(highest[:_MELODY])), []).append(number)
    if len(melodies) < 3:
        raise ValueError(f"split_chorales: found {len(melodies)} melodies in {len(rolls)} rolls, wanted three or more")
    groups = list(melodies.values())
    order = np.random.RandomState(whole("split_chorales", "seed", seed, 0, 2**32 - 1)).permutation(len(groups))
    wanted, parts = max(1, len(rolls) // 5), ([], [])
    left = [groups[number] for number in order]
    for number, part in enumerate(parts):
        while len(part) < wanted and len(left) > 2 - number:
            part.extend(left.pop())
    train = [number for group in left for number in group]
    return Chorales(*(tuple(rolls[number] for number in sorted(part)) for part in (train, *parts)))


def _read(file: Path, advice: str) -> np.ndarray:
    try:
        roll = read_roll(file)
    except (ValueError, OSError) as error:
        raise ValueError(f"load_chorales: {file} is no score in MusicXML ({error}); {advice}") from error
    return roll[:, _LOWEST : _LOWEST + _KEYS].astype(np.uint8)


def _installed(cache: Path | None) -> tuple[np.ndarray, ...]:
    """The rolls of music21's corpus, from the cache where it holds them."""
    spec = importlib.util.find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"load_chorales: found no package music21, which holds the scores; run: {_COMMAND}")
    version = importlib.metadata.version("music21")
    kept = (cache_folder() if cache is None else cache) / f"chorales-music21-{version}.npz"
    try:
        with kept.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            return tuple(np.split(content["frames"], content["ends"][:-1]))
    except _READ_ERRORS:  # not there, or not whole: written anew
        rolls = _parsed(Path(spec.submodule_search_locations[0]) / "corpus" / "bach")
    _keep(kept, rolls)
    return rolls


def _parsed(folder: Path) -> tuple[np.ndarray, ...]:
    names = importlib.import_module("music21.corpus.chorales").Iterator(returnType="filename")
    rolls = []
    for name in dict.fromkeys(Path(name).name for name in names):  # some numbers of the edition are one work
        files = [folder / f"{name}.mxl", folder / f"{name}.xml", *sorted(folder.glob(f"{name}*.mxl"))]
        file = next((file for file in files if file.is_file()), files[0])
        rolls.append(_read(file, "run: pip install --force-reinstall --no-deps 'music21>=10'"))
    return tuple(rolls)


def _keep(kept: Path, rolls: tuple[np.ndarray, ...]) -> None:
    """Writes the rolls beside their place and moves them there; a folder that cannot be written costs the time only."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".npz", delete=False) as opened:
            np.savez_compressed(opened, frames=np.concatenate(rolls), ends=np.cumsum([len(roll) for roll in rolls]))
        os.replace(opened.name, kept)
    except OSError:
        return


def _published(file: Path) -> Chorales:
    advice = f"load_chorales: {file} is not the published JSB Chorales"
    try:
        content = loadmat(file, variable_names=("traindata", "validdata", "testdata"))
        parts = [content[name].reshape(-1) for name in ("traindata", "validdata", "testdata")]
    except _READ_ERRORS as error:
        raise ValueError(f"{advice} ({type(error).__name__}: {error}); copy it there again") from error
    rolls = [tuple(np.asarray(roll) for roll in part) for part in parts]
    for roll in (roll for part in rolls for roll in part):
        if roll.ndim != 2 or roll.shape[1] != _KEYS or roll.dtype.kind not in "buif" or not np.isin(roll, (0, 1)).all():
            found = f"found {roll.dtype} of shape {roll.shape}, wanted rolls [L, 88] of 0 and 1"
            raise ValueError(f"{advice} ({found}); copy it there again")
    return Chorales(*(tuple(roll.astype(np.uint8) for roll in part) for part in rolls))
