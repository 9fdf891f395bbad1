"""What the agent sees of a world: stacked frames, observations of unit scale, a television that distracts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from identax.checks import check_count, check_positive, is_integer
from identax.dgp.environments.protocol import Environment, check_single
from identax.dgp.environments.wrapping import wrapped
from identax.numerics import Moments, no_moments, with_batch
from identax.rng import stream


class Stacked(NamedTuple):
    """The inner state and the last frames along the last axis, oldest first."""

    inner: Any
    frames: Any


class Normalised(NamedTuple):
    """The inner state and the moments of all observations so far, entry by entry."""

    inner: Any
    moments: Moments


class Watched(NamedTuple):
    """The inner state and the channel that is on."""

    inner: Any
    channel: Any


def frame_stack(environment: Environment, count: int = 4) -> Environment:
    """The last `count` observations along the last axis, oldest first; zeros before the episode's first.

    [..., C] becomes [..., count C]. Raises `ValueError` for count < 1 and observations without axes.
    Source: Mnih et al. 2015.
    """
    check_single("frame_stack", environment)
    check_count("frame_stack", "count", count)
    single = environment.observation
    _check_axes("frame_stack", environment)
    shape = *single.shape[:-1], single.shape[-1] * count

    def pushed(frames, observation):
        return jnp.concatenate([frames[..., single.shape[-1] :], observation], axis=-1)

    def begin(start, key, state, params):
        inner, observation = start(key)
        frames = pushed(jnp.zeros(shape, single.dtype), observation)
        return Stacked(inner, frames), frames

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        frames = pushed(state.frames, found.observation)
        return found._replace(state=Stacked(found.state, frames), observation=frames)

    return wrapped(environment, begin=begin, step=step, observation=jax.ShapeDtypeStruct(shape, single.dtype))


def normalise_observations(environment: Environment, *, clip: float | int = 5, epsilon: float = 1e-8) -> Environment:
    """Observations less their mean over their deviation, of all this environment ever showed, cut at +-clip.

        (o - m) / sqrt(v + epsilon),    m and v of the observations so far, this one among them

    In float32, out of differences to the first observation, from which an offset takes no digits. The statistics
    outlive episodes; each of many environments has its own. The first observation is 0.
    Raises `ValueError` for clip or epsilon <= 0. Source: Burda et al. 2018, with statistics that run on.
    """
    check_single("normalise_observations", environment)
    check_positive("normalise_observations", "clip", clip, ())
    check_positive("normalise_observations", "epsilon", epsilon, ())
    shape, dtype = environment.observation.shape, environment.observation.dtype
    own = dtype if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits > 16 else float

    def seen(moments, observation):
        observation = observation.astype(moments.first.dtype)[None]
        moments = with_batch(moments, observation)
        scaled = moments.centred(observation)[0] / jnp.sqrt(moments.variance + epsilon)
        return moments, jnp.clip(scaled, -clip, clip).astype(jnp.float32)

    def begin(start, key, state, params):
        inner, observation = start(key)
        before = no_moments(shape, own) if state is None else state.moments
        moments, observation = seen(before, observation)
        return Normalised(inner, moments), observation

    def step(key, state, action, params):
        found = environment.step(key, state.inner, action, params)
        moments, observation = seen(state.moments, found.observation)
        return found._replace(state=Normalised(found.state, moments), observation=observation)

    return wrapped(environment, begin=begin, step=step, observation=jax.ShapeDtypeStruct(shape, jnp.float32))


def noisy_tv(
    environment: Environment, *, channels: int = 64, rows: int = 1, action: int | None = None, counted: bool = True
) -> Environment:
    """A television beside the world: pictures without any bearing on it, which no model predicts.

    Observations [R, ...] get `rows` more rows at their end, that of one of `channels` fixed random pictures of zeros
    and ones (of 0 and 255 beside bytes; two may be equal). The channel changes to a uniformly random one in every
    step, or with `action` only where that is played, so that the agent has the remote control. States, where they are
    counted, are states of world and television together, `cell * channels + channel`; with `counted=False` they stay
    the world's.
    Raises `ValueError` for channels or rows < 1, observations without axes, and an action that the game has not.
    Source: Burda et al. 2019, section 5.
    """
    check_single("noisy_tv", environment)
    check_count("noisy_tv", "channels", channels)
    check_count("noisy_tv", "rows", rows)
    if action is not None and not (is_integer(action) and 0 <= action < environment.num_actions):
        raise ValueError(
            f"noisy_tv: found action={action!r}, wanted one of the {environment.num_actions} of {environment.name}"
        )
    _check_axes("noisy_tv", environment)
    single, remote = environment.observation, action
    shape = single.shape[0] + rows, *single.shape[1:]
    num_states = environment.num_states if counted else None
    both = num_states is not None

    def shown(channel, observation):
        key = jax.random.fold_in(jax.random.key(0), channel)
        # Bytes are 0 and 255, which encoders divide: a picture is as bright as the world.
        bright = 255 if single.dtype == jnp.uint8 else 1
        picture = bright * jax.random.bernoulli(key, 0.5, (rows, *single.shape[1:])).astype(single.dtype)
        return jnp.concatenate([observation, picture], axis=0)

    def switched(key):
        return jax.random.randint(key, (), 0, channels, jnp.int32)

    def begin(start, key, state, params):
        inner, observation = start(stream(key, "start"))
        channel = switched(stream(key, "television"))
        return Watched(inner, channel), shown(channel, observation)

    def step(key, state, action, params):
        found = environment.step(stream(key, "world"), state.inner, action, params)
        changes = True if remote is None else jnp.asarray(action == remote)
        channel = jnp.where(changes, switched(stream(key, "television")), state.channel)
        info = found.info | ({"cell": found.info["cell"] * channels + channel} if both else {})
        return found._replace(
            state=Watched(found.state, channel), observation=shown(channel, found.observation), info=info
        )

    changes: dict[str, Any] = {"observation": jax.ShapeDtypeStruct(shape, single.dtype)}
    if num_states is not None:
        changes["num_states"] = num_states * channels
    return wrapped(environment, begin=begin, step=step, **changes)


def _check_axes(where: str, environment: Environment) -> None:
    if not environment.observation.shape:
        raise ValueError(f"{where}: found {environment.name} with scalar observations, wanted some with axes")
