"""The premises of contrastive identifiability, one by one: what is asked for and what was found."""

import numpy as np

from identax.assumptions.oracle import optimal_precision
from identax.assumptions.report import Premise
from identax.assumptions.symmetry import common_blocks, equal_blocks


def premises_of(world, objective) -> list[Premise]:
    """Premises of the theorem behind `objective` (a `ContrastiveObjective`), checked against a `ContrastiveWorld`."""
    of_loss = _lp_premises if objective.loss == "lp_infonce" else _sphere_premises
    return [*_common_premises(world), *of_loss(world, objective), *_negatives_premises(world, objective)]


def identified_blocks(world) -> list[tuple[int, ...]]:
    """Latents that the exponent at the optimum does not tell apart: of one conditional, less that of hard negatives, or
    of several together."""
    if world.precisions is not None:
        return common_blocks(world.precisions)
    return equal_blocks(optimal_precision(world.precision, world.negative_precision, signed=True), signed=True)


def _common_premises(world):
    return [
        Premise(
            "uniform marginal",
            world.marginal == "uniform",
            f"{world.marginal} on the {world.space}",
            "negatives must carry no information about the latents",
        ),
        Premise(
            "invertible mixing",
            world.mixing_is_invertible,
            {True: "invertible", False: "not invertible", None: "not checked"}[world.mixing_is_invertible],
            "different latents must give different observations",
        ),
    ]


def _sphere_premises(world, objective):
    on_sphere = Premise(
        "latents and embeddings on a sphere",
        world.space == objective.output == "sphere",
        f"latents: {world.space}, embeddings: {objective.output}",
        "the similarity is the conditional's exponent there, up to a constant",
    )
    if not world.conditionals:
        matches = Premise("matched conditional", False, f"Lp with p={world.p}", "the loss assumes a quadratic exponent")
        return [on_sphere, matches]
    positive = all(min(row) > 0 for row in world.conditionals)
    found = "; ".join(f"precision {_entries(row)}" for row in world.conditionals)
    if objective.loss == "infonce":
        isotropic = positive and all(len(equal_blocks(row)) == 1 for row in world.conditionals)
        return [on_sphere, Premise("isotropic positives", isotropic, found, "one temperature serves all latents")]
    shape = "the theorem's" if world.exact else "approximate: the learned precision is biased by a few per cent"
    return [
        on_sphere,
        Premise("positive precision", positive, found, "every latent must move, and by a finite amount"),
        Premise(
            "matched conditional",
            True if world.exact else None,
            shape,
            "the loss's family must contain the log density",
        ),
    ]


def _entries(row):
    if not min(row) > 0:
        return str(tuple(row))
    return ", ".join(f"{len(block)} x {row[block[0]]:g}" for block in equal_blocks(row))


def _lp_premises(world, objective):
    p, found = world.p, f"conditional p={world.p}"
    if world.conditionals:
        isotropic = len({tuple(row) for row in world.conditionals}) == 1 and len(set(world.conditionals[0])) == 1
        p, found = (2.0, "conditional p=2.0") if isotropic else (None, "conditional quadratic, unequal precisions")
    return [
        Premise(
            "matched p",
            p == objective.p,
            f"{found}, loss p={objective.p}",
            "the similarity must be the conditional's exponent",
        ),
        Premise("p >= 1", objective.p >= 1, f"p={objective.p}", "distances must come from a norm"),
        Premise(
            "convex body",
            world.space == "box",
            f"latents: {world.space}, embeddings: {objective.output}",
            "latents fill a convex body, so that an isometry of it is affine",
        ),
    ]


def _negatives_premises(world, objective):
    found = []
    if world.negative_precision is not None:
        found += _hard_negatives_premises(world, objective)
    if objective.reweighting > 0:
        found.append(
            Premise(
                "many negatives for reweighting",
                None,
                f"beta={objective.reweighting:g}, batch of {objective.num_pairs}",
                "weights from few negatives are biased; the optimum's division by 1 + beta is that of many",
            )
        )
    return found


def _hard_negatives_premises(world, objective):
    given = Premise(
        "negatives from the conditional",
        objective.num_negatives is not None,
        "those of the batch" if objective.num_negatives is None else f"{objective.num_negatives} for each anchor",
        "only negatives drawn around their anchor have the conditional's precision",
    )
    if objective.loss != "aninfonce":
        # one temperature can follow a difference that is one number
        difference = np.asarray(world.precision) - np.asarray(world.negative_precision)
        same = bool(np.all(difference > 0) and np.allclose(difference, difference[0], rtol=1e-6, atol=0.0))
        return [given, Premise("isotropic difference", same, f"{_list(difference)}", "the loss has one temperature")]
    difference = optimal_precision(world.precision, world.negative_precision, signed=True)
    positive = bool(np.all(difference > 0))
    name, holds, why = "Lambda - Lambda- > 0", positive, "a softplus can only represent positive precisions"
    if objective.signed:
        name, holds = "Lambda - Lambda- not 0", bool(np.all(difference != 0))
        why = "a latent in which negatives lie like positives tells them apart in nothing"
    return [given, Premise(name, holds, f"differences {_list(difference)}", why)]


def _list(values):
    return ", ".join(f"{value:g}" for value in np.asarray(values))
