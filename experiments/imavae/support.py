"""Orthogonal columns identify dependent factors too, if all their combinations occur: where, and where not.

After Simon, Frossard and De Vleeschouwer 2026 (functional orthogonality), of which only the abstract could be read: the
loss, the flows, settings and numbers here are own, and nothing of theirs is a band. A Moebius map, whose columns are
orthogonal, is learned as an invertible flow by its exact likelihood less weight * c_IMA (weight 1: L_IMA, the limit of
the ELBO; 0: a plain flow). Worlds: uniform factors; the same correlated by a copula; with a corner of combinations cut
out at equal marginals; and Gaussian factors, where a rotation keeps orthogonality and likelihood alike.

    python -m experiments run imavae/support --preset quick
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from experiments.imavae import invertible
from experiments.imavae import support_claims as claims
from identax.dgp import moebius
from identax.experiment import RunConfig
from identax.jacobians import jacobian
from identax.metrics import c_ima, mcc
from identax.rng import stream
from identax.study import Study, gradient_study
from identax.transforms import cosine

TRACED = ("learning_rate", "weight", "world")
SHOWN = 512
"""factors and codes kept for scatter plots"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """One world of factors and one flow."""

    dim: int = 2
    world: int = 0
    """place in `claims.WORLDS`; swept: worlds are trials of one program, whose small steps cost less side by side"""
    correlation: float = 0.8
    """of the copula"""
    weight: float = 1.0
    """of c_IMA, beside the log-likelihood per example"""
    weights: tuple[float, ...] = (0.0, 1.0, 10.0)
    num_couplings: int = 6
    hidden: int = 48
    learning_rate: float = 3e-3
    batch_size: int = 256
    num_evaluate: int = 2048
    num_steps: int = 10_000
    log_every: int = 500
    evaluate_every: int = 5000
    checkpoint_every: int = 10_000
    num_seeds: int = 10


_QUICK = Config(
    num_couplings=4, hidden=32, batch_size=128, num_steps=1500, log_every=250, evaluate_every=750,
    checkpoint_every=1500, num_seeds=3, weights=(0.0, 3.0),
)  # fmt: skip
PRESETS: dict[str, Config] = {
    "smoke": dataclasses.replace(
        _QUICK, hidden=4, num_couplings=2, batch_size=16, num_steps=10, log_every=5, evaluate_every=10,
        checkpoint_every=10, num_evaluate=128, num_seeds=2,
    ),
    "quick": _QUICK,
    "medium": dataclasses.replace(
        _QUICK, num_couplings=6, num_steps=5000, log_every=500, evaluate_every=2500, checkpoint_every=5000,
        num_seeds=6, weights=(0.0, 1.0, 10.0),
    ),
    "paper": Config(),
}  # fmt: skip


arms = claims.arms
REFERENCES = ()
premises = claims.premises
measure = claims.measure
figures = claims.figures


def build(config: Config) -> Study:
    """The flow on the world of a trial: maximum likelihood less weight * c_IMA."""
    laws, mixing = claims.laws(config), moebius(config.dim)

    def drawn(hparams, key, num):
        return jax.lax.switch(hparams["world"], [lambda key, law=law: law.sample(key, num) for law in laws], key)

    def observed(truth, s):
        return (mixing.apply(truth["mixing"], s) - truth["mean"][None]) / truth["sd"]

    def init(key, hparams):
        weights = mixing.init(stream(key, "mixing"))
        x = mixing.apply(weights, drawn(hparams, stream(key, "scale"), 4096))
        # One number for all dims: columns stay orthogonal.
        truth = {"mixing": weights, "mean": x.mean(axis=0), "sd": jnp.sqrt(x.var(axis=0).mean())}
        sizes = {"num_couplings": config.num_couplings, "hidden": config.hidden}
        return truth, invertible.init_flow(stream(key, "model"), config.dim, **sizes), {}

    def sample(state, key):
        return observed(state.truth, drawn(state.hparams, key, config.batch_size))

    def loss(params, state, x, key):
        del key
        found = invertible.score(params, x)
        return -found.log_likelihood + state.hparams["weight"] * found.c_ima, ({}, {"c_IMA": found.c_ima.mean()})

    def optimizer(hparams):
        return optax.chain(
            optax.clip_by_global_norm(10.0), optax.adam(cosine(hparams["learning_rate"], config.num_steps, 0.3))
        )

    def evaluate(state, key):
        s, world = drawn(state.hparams, key, config.num_evaluate), state.hparams["world"]
        found = invertible.score(state.params, observed(state.truth, s))
        assert mixing.log_det is not None  # Moebius maps know theirs
        log_det = mixing.log_det(state.truth["mixing"], s) - config.dim * jnp.log(state.truth["sd"])
        log_prob = jax.lax.switch(world, [law.log_prob for law in laws], s)
        return {
            "MCC": mcc(s, found.codes, method="spearman"),
            "c_IMA": found.c_ima.mean(),
            "log likelihood": found.log_likelihood.mean(),
            "log likelihood of the truth": (log_prob - log_det).mean(),
            "coverage": jax.lax.switch(world, [law.coverage for law in laws], s),
            "c_IMA of the truth": c_ima(jacobian(lambda s: observed(state.truth, s), s)).mean(),
        }

    def keep(state, key):
        s = drawn(state.hparams, key, SHOWN)
        return {"latents": s, "codes": invertible.encode(state.params, observed(state.truth, s))}

    return gradient_study(init=init, sample=sample, loss=loss, optimizer=optimizer, evaluate=evaluate, keep=keep)
