"""Readouts: the statistics of its tokens that make up the output vector of a stream."""

#: Statistics of the tokens themselves.
STATISTICS = ("mean", "max", "std", "share_above")

#: All readouts; `cls` needs a stream with a CLS token.
READOUTS = (*STATISTICS, "cls")

#: Joins the names of several readouts, whose vectors are concatenated in this order.
JOIN = "+"


def parse_readout(text: str) -> tuple[str, ...]:
    """Returns the names in `text`.

    Example:
        >>> parse_readout("mean+max")
        ('mean', 'max')
    """
    return tuple(text.split(JOIN))
