"""Seeds that depend on what they are for, never on which worker draws them or when."""

import hashlib


def derive_seed(study_seed: int, component: str, number: int = 0) -> int:
    """Returns the 32-bit seed of one component of one trial.

    Args:
        study_seed: The seed the user gave the study or the training.
        component: What draws from it, such as "weights" or "sampler".
        number: Trial (or repetition) number.

    >>> derive_seed(0, "weights", 3) == derive_seed(0, "weights", 3)
    True
    >>> derive_seed(0, "weights", 3) == derive_seed(0, "batches", 3)
    False
    """
    digest = hashlib.sha256(f"{study_seed}/{component}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
