"""Per-example losses: arrays in, one value per example out, the caller reduces."""

from identax.losses.actor_critic import ActorCritic, a2c, clipped_policy_gradient, policy_gradient, ppo
from identax.losses.alignment import alignment, alignment_uniformity, uniformity
from identax.losses.autoregressive import (
    autoregressive_kl,
    completion_nll,
    sequence_nll,
    shifted,
    tabular_kl,
)
from identax.losses.auxiliary import (
    class_gaussian_nll,
    generalized_contrastive,
    half_squared_weights,
    label_scores,
    time_contrastive,
)
from identax.losses.contrast import SCHEMES
from identax.losses.contrastive import aninfonce, infonce, lp_infonce
from identax.losses.curiosity import (
    RewardScale,
    count_bonus,
    distillation_reward,
    elliptical_bonus,
    forward_error,
    inverse_error,
    prediction_reward,
    reward_scale,
    scale_rewards,
)
from identax.losses.discrimination import project_rows, sharded_softmax_cross_entropy, softmax_cross_entropy
from identax.losses.elbo import (
    Elbo,
    analytic_kl,
    bernoulli_nll,
    elbo,
    gaussian_kl,
    gaussian_log_likelihood,
    importance_weighted_bound,
    mle_precision,
    negative_elbo,
    sampled_kl,
)
from identax.losses.jacobian_penalties import c_ima_penalty, jacobian_l1, jacobian_l2, orojar, orojar_estimate
from identax.losses.priors import (
    Prior,
    beta_prior,
    gaussian_prior,
    laplace_prior,
    learned_beta_prior,
    logistic_prior,
    uniform_prior,
)
from identax.losses.rollout_returns import discounted_returns, generalized_advantages
from identax.losses.sharded import sharded
from identax.losses.slow_vae import (
    cross_entropy_to_laplace,
    cross_entropy_to_normal,
    normal_entropy,
    slow_vae,
)
from identax.losses.supervised import ensemble, jacobian_determinant, r2_loss

__all__ = [
    "SCHEMES",
    "ActorCritic",
    "Elbo",
    "Prior",
    "RewardScale",
    "a2c",
    "alignment",
    "alignment_uniformity",
    "analytic_kl",
    "aninfonce",
    "autoregressive_kl",
    "bernoulli_nll",
    "beta_prior",
    "c_ima_penalty",
    "class_gaussian_nll",
    "clipped_policy_gradient",
    "completion_nll",
    "count_bonus",
    "cross_entropy_to_laplace",
    "cross_entropy_to_normal",
    "discounted_returns",
    "distillation_reward",
    "elbo",
    "elliptical_bonus",
    "ensemble",
    "forward_error",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "gaussian_prior",
    "generalized_advantages",
    "generalized_contrastive",
    "half_squared_weights",
    "importance_weighted_bound",
    "infonce",
    "inverse_error",
    "jacobian_determinant",
    "jacobian_l1",
    "jacobian_l2",
    "label_scores",
    "laplace_prior",
    "learned_beta_prior",
    "logistic_prior",
    "lp_infonce",
    "mle_precision",
    "negative_elbo",
    "normal_entropy",
    "orojar",
    "orojar_estimate",
    "policy_gradient",
    "ppo",
    "prediction_reward",
    "project_rows",
    "r2_loss",
    "reward_scale",
    "sampled_kl",
    "scale_rewards",
    "sequence_nll",
    "sharded",
    "sharded_softmax_cross_entropy",
    "shifted",
    "slow_vae",
    "softmax_cross_entropy",
    "tabular_kl",
    "time_contrastive",
    "uniform_prior",
    "uniformity",
]
