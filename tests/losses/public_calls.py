"""One call of every public loss, for the tests that walk them: (function of arrays, the arrays' names and shapes)."""

import jax
import jax.numpy as jnp
import numpy as np

from identax import losses
from identax.losses import infonce, lp_infonce, sharded

N, DIM = 4, 3
ROWS = {"z": (N, DIM), "z_pos": (N, DIM)}
GAUSSIAN = {"mean": (N, DIM), "log_variance": (N, DIM)}
HEAD = {"embeddings": (N, DIM), "head": (4, DIM)}
LABELS = np.array([0, 3, 1, 3])


def _mesh():
    return jax.make_mesh((2,), ("data",), devices=jax.devices()[:2])


def _squares(row):
    return row * row


def _products(z):
    return z * z[:, :1]


def _slow(reconstruction, *others, **options):
    return losses.slow_vae(reconstruction, others[:2], others[2:], **options)


FRAMES = {"reconstruction": (N,), "means": (N, DIM), "means ": (N, DIM), "log_variances": (N, DIM), " ": (N, DIM)}
ELBO = {"logits": (N, 5), "targets": (N, 5)}

JACOBIANS = {"jacobian": (N, 4, DIM)}
NORMAL = losses.gaussian_prior(2)
POSTERIOR = {"u": (N, DIM), "mean": (N, DIM), "log_variance": (N, DIM)}
FIT = {"x": (N, 5), "reconstruction": (N, 5)}
SEGMENTS = {"features": (N, DIM), "head": (4, DIM), "bias": (4,)}
CLASSES = {"features": (N, DIM), "means": (4, DIM), "log_scales": (4, DIM)}
ROLLOUT = {"rewards": (DIM, N), "last_value": (N,)}
ENDED = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], bool)
PAIR = {"prediction": (N, DIM), "target": (N, DIM)}
TRANSITIONS = {"logits": (N, 4), "values": (N,), "returns": (N,)}


def _sum(terms):
    return terms.policy + terms.value - terms.entropy


def _scaled(rewards):
    return losses.scale_rewards(rewards, losses.reward_scale(N))[0]


SEQUENCES = {"logits": (N, 3, 4)}
NEXT = np.array([[0, 3, 1], [2, 2, 3], [1, 0, 3], [3, 3, 3]])
DRAWS = {"log_likelihood": (DIM, N), "kl": (DIM, N)}

CALLS = {
    "a2c": (lambda x, v, r: _sum(losses.a2c(x, v, LABELS, r)), TRANSITIONS),
    "alignment": (losses.alignment, ROWS),
    "alignment_uniformity": (lambda z, z_pos: losses.alignment_uniformity(z, z_pos, alpha=1, p=3), ROWS),
    "analytic_kl": (lambda m, v: losses.analytic_kl(m, v, prior=NORMAL), GAUSSIAN),
    "aninfonce": (losses.aninfonce, ROWS | {"precision": (DIM,)}),
    "autoregressive_kl": (losses.autoregressive_kl, {"p_logits": (N, 3, 4), "q_logits": (N, 3, 4)}),
    "bernoulli_nll": (losses.bernoulli_nll, ELBO),
    "c_ima_penalty": (losses.c_ima_penalty, JACOBIANS),
    "class_gaussian_nll": (lambda g, m, v: losses.class_gaussian_nll(g, m, v, LABELS), CLASSES),
    "clipped_policy_gradient": (
        lambda x, a, o: sum(losses.clipped_policy_gradient(x, LABELS, a, o, clip=1)),
        {"logits": (N, 4), "advantages": (N,), "old_log_probs": (N,)},
    ),
    "count_bonus": (losses.count_bonus, {"counts": (N,)}),
    "completion_nll": (lambda x: losses.completion_nll(x, NEXT, 1), SEQUENCES),
    "cross_entropy_to_laplace": (lambda m, v: losses.cross_entropy_to_laplace(m, v, 2), GAUSSIAN),
    "cross_entropy_to_normal": (losses.cross_entropy_to_normal, GAUSSIAN),
    "discounted_returns": (lambda r, v: losses.discounted_returns(r, ENDED, v, discount=1), ROLLOUT),
    "discounted_returns, released": (
        lambda r, v: losses.discounted_returns(r, ENDED, v, discount=1, reading="released"),
        ROLLOUT,
    ),
    "distillation_reward": (losses.distillation_reward, PAIR),
    "elliptical_bonus": (
        lambda *arrays: losses.elliptical_bonus(*arrays)[0],
        {"features": (N, DIM), "inverse": (N, DIM, DIM)},
    ),
    "elbo": (lambda *arrays: losses.elbo(*arrays, prior=NORMAL, precision=2, beta=3).value, FIT | POSTERIOR),
    "ensemble": (lambda first, second: losses.ensemble([first, second], [1, 2]), {"losses": (N,), "other": (N,)}),
    "forward_error": (losses.forward_error, PAIR | {"attention": (N, DIM)}),
    "gaussian_kl": (losses.gaussian_kl, GAUSSIAN),
    "gaussian_log_likelihood": (lambda *arrays: losses.gaussian_log_likelihood(*arrays, precision=2), FIT),
    "generalized_contrastive": (losses.generalized_contrastive, {"scores": (N,), "permuted_scores": (N,)}),
    "generalized_advantages": (
        lambda r, v, last: losses.generalized_advantages(r, v, ENDED, last, discount=1, gae_lambda=1),
        {"rewards": (DIM, N), "values": (DIM, N), "last_value": (N,)},
    ),
    "half_squared_weights": (losses.half_squared_weights, {"params": (N, DIM)}),
    "importance_weighted_bound": (losses.importance_weighted_bound, DRAWS),
    "infonce": (lambda z, z_pos: infonce(z, z_pos, temperature=2, reweighting=1), ROWS),
    "infonce, negatives": (lambda z, z_pos, n: infonce(z, z_pos, negatives=n), ROWS | {"negatives": (N, 2, DIM)}),
    "infonce, blocks": (lambda z, z_pos: infonce(z, z_pos, block_size=2), ROWS),
    "inverse_error": (lambda x: losses.inverse_error(x, LABELS), {"logits": (N, 4)}),
    "jacobian_determinant": (lambda z: losses.jacobian_determinant(_squares, z), {"z": (N, DIM)}),
    "jacobian_l1": (losses.jacobian_l1, JACOBIANS),
    "jacobian_l2": (losses.jacobian_l2, JACOBIANS),
    "label_scores": (lambda h, w, b: losses.label_scores(h, w, b, LABELS), SEGMENTS),
    "lp_infonce": (lambda z, z_pos: lp_infonce(z, z_pos, p=1), ROWS),
    "lp_infonce, p array": (lambda z, z_pos: lp_infonce(z, z_pos, p=jnp.asarray(1.5), scheme="one_view"), ROWS),
    "mle_precision": (losses.mle_precision, FIT),
    "negative_elbo": (lambda *arrays: losses.negative_elbo(*arrays, beta=2), ELBO | GAUSSIAN),
    "normal_entropy": (losses.normal_entropy, {"log_variance": (N, DIM)}),
    "orojar": (losses.orojar, JACOBIANS),
    "orojar, normalised": (lambda j: losses.orojar(j, normalize=True), JACOBIANS),
    "orojar_estimate": (
        lambda z: losses.orojar_estimate(_products, z, jax.random.key(0), num_draws=5),
        {"z": (N, DIM)},
    ),
    "policy_gradient": (
        lambda x, a: sum(losses.policy_gradient(x, LABELS, a)),
        {"logits": (N, 4), "advantages": (N,)},
    ),
    "ppo": (
        lambda x, v, r, a, o: _sum(losses.ppo(x, v, LABELS, r, a, o, clip=1)),
        TRANSITIONS | {"advantages": (N,), "old_log_probs": (N,)},
    ),
    "prediction_reward": (lambda p, t: losses.prediction_reward(p, t, scale=2), PAIR),
    "project_rows": (losses.project_rows, {"head": (N, DIM)}),
    "r2_loss": (losses.r2_loss, {"prediction": (N, DIM), "target": (N, DIM)}),
    "sampled_kl": (lambda *arrays: losses.sampled_kl(*arrays, prior=losses.beta_prior(2, 3)), POSTERIOR),
    "scale_rewards": (_scaled, {"rewards": (DIM, N)}),
    "sequence_nll": (lambda x: losses.sequence_nll(x, NEXT, pad=3), SEQUENCES),
    "sharded": (lambda z, z_pos: sharded(lp_infonce, _mesh())(z, z_pos, p=1), ROWS),
    "sharded_softmax_cross_entropy": (
        lambda z, w: losses.sharded_softmax_cross_entropy(z, w, LABELS, mesh=_mesh(), beta=2, block_size=1),
        HEAD,
    ),
    "slow_vae": (lambda *arrays: _slow(*arrays, gamma=2), FRAMES),
    "softmax_cross_entropy": (lambda z, w: losses.softmax_cross_entropy(z, w, LABELS, beta=0.5), HEAD),
    "softmax_cross_entropy, blocks": (lambda z, w: losses.softmax_cross_entropy(z, w, LABELS, block_size=3), HEAD),
    "tabular_kl": (lambda p, q: losses.tabular_kl([p], [q]), {"p_logits": (1, 4), "q_logits": (1, 4)}),
    "time_contrastive": (lambda h, w, b: losses.time_contrastive(h, w, b, LABELS), SEGMENTS),
    "uniformity": (lambda z: losses.uniformity(z, p=1), {"z": (N, DIM)}),
}
PRIORS = {name for name in losses.__all__ if name.endswith("_prior")}  # tests/losses/test_priors.py
# Of tokens: tests/losses/test_autoregressive.py.
NOT_FUNCTIONS = {"SCHEMES", "ActorCritic", "Elbo", "Prior", "RewardScale", "reward_scale", "shifted"} | PRIORS


def arrays_of(name, seed, high=4):
    """Whole numbers in 0 .. high - 1, those of targets 0 or 1, all rows different from zero."""
    rng = np.random.default_rng(seed)
    made = [rng.integers(0, 2 if key == "targets" else high, shape) for key, shape in CALLS[name][1].items()]
    if name == "count_bonus":
        return [np.maximum(array, 1) for array in made]
    return [np.where(array.sum(-1, keepdims=True) == 0, 1, array) for array in made] if name == "project_rows" else made
