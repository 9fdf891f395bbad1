"""The field's scores of disentanglement. Factors (the truth) come first, estimates (the representation) second."""

from identax.metrics.disentanglement.dci import dci, dci_scores
from identax.metrics.disentanglement.explicitness import explicitness
from identax.metrics.disentanglement.infomec import info_modularity_compactness, infomec
from identax.metrics.disentanglement.information import discretise, entropies, mutual_information
from identax.metrics.disentanglement.interventional import beta_vae_score, factor_vae_score
from identax.metrics.disentanglement.mig import mig, modularity
from identax.metrics.disentanglement.sap import sap

__all__ = [
    "beta_vae_score",
    "dci",
    "dci_scores",
    "discretise",
    "entropies",
    "explicitness",
    "factor_vae_score",
    "info_modularity_compactness",
    "infomec",
    "mig",
    "modularity",
    "mutual_information",
    "sap",
]
