"""What short codes of signals are good for, and the codes by principal components to compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

_NUM_NEIGHBOURS = 5
_NUM_CLUSTERINGS = 20


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Signals and what became of them, a row each.

    Attributes:
        codes: `[n, code_size]`.
        signals: `[n, values]`.
        reconstructions: `[n, values]`, made from the codes alone.
    """

    codes: np.ndarray
    signals: np.ndarray
    reconstructions: np.ndarray


def principal_component_codes(signals: np.ndarray, *, num_components: int, training: slice) -> Codes:
    """The best linear codes.

    Arguments:
        signals: `[n, values]`.
        num_components: numbers of a code.
        training: the rows to find the components on.
    """
    components = PCA(num_components, random_state=0).fit(signals[training])
    codes = components.transform(signals)
    return Codes(codes=codes, signals=signals, reconstructions=components.inverse_transform(codes))


def quality(codes: Codes, *, classes: np.ndarray, training: slice, validation: slice) -> dict[str, float]:
    """How much of the signals is in the codes, and how well equal classes lie together, on the validation rows.

    Arguments:
        codes: of all rows.
        classes: `[n]`, the names of the classes.
        training: the rows among which neighbours are sought.
        validation: the rows to measure.

    Returns:
        `reconstruction_error`, the mean square; `neighbours_accuracy`, of the class that most of the 5 nearest training codes
        have; `rand_index`, adjusted for chance, of k-means with as many clusters as there are classes.
    """
    truth, validation_codes = classes[validation], codes.codes[validation]
    neighbours = KNeighborsClassifier(_NUM_NEIGHBOURS).fit(codes.codes[training], classes[training])
    clusters = KMeans(len(np.unique(truth)), n_init=_NUM_CLUSTERINGS, random_state=0).fit_predict(validation_codes)
    return {"reconstruction_error": float(np.mean(np.square(codes.reconstructions[validation] - codes.signals[validation]))),
            "neighbours_accuracy": float(neighbours.score(validation_codes, truth)),
            "rand_index": float(adjusted_rand_score(truth, clusters))}
