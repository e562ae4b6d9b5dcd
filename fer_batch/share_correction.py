"""The parameters of a model for corrected shares of emotions; `analysis.label_shift` has the method."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.emotions import EMOTIONS, merge_disgust

Floats = NDArray[np.floating]

#: Where part files keep the correction in their schema metadata, as JSON.
METADATA_KEY = b"fer_batch.share_correction"


@dataclass(frozen=True)
class ShareCorrection:
    """Parameters fitted on held-out training faces.

    Attributes:
        exponent: The probability that an emotion is the choice of most annotators is proportional to the probability in
            the tables, the share of annotators, to this power.
        prior: Mean of that probability over the held-out faces, one value for each label of the model.
    """

    exponent: float
    prior: tuple[float, ...]

    def posteriors(self, probabilities: Floats) -> NDArray[np.float64]:
        """The probability of each label to be the choice of most annotators.

        Args:
            probabilities: As in the tables, (faces, labels).

        Returns:
            (faces, labels); rows sum to 1.
        """
        powers = np.maximum(probabilities.astype(np.float64), 0.0) ** self.exponent
        return np.asarray(powers / np.maximum(powers.sum(axis=-1, keepdims=True), 1e-300))

    def merged(self) -> ShareCorrection:
        """The parameters for six classes, with disgust added to angry: approximate."""
        if len(self.prior) != len(EMOTIONS):
            return self
        return ShareCorrection(self.exponent, tuple(merge_disgust(np.array(self.prior)).tolist()))

    def to_json(self) -> bytes:
        """For the metadata of a part file."""
        return json.dumps(asdict(self)).encode()


def read_correction(text: bytes) -> ShareCorrection:
    """What `ShareCorrection.to_json` wrote."""
    values = json.loads(text)
    return ShareCorrection(values["exponent"], tuple(values["prior"]))
