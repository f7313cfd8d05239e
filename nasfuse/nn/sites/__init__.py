"""Fusion at several sites: the operators by which a main stream takes in features of others and goes on."""

from nasfuse.nn.sites.attention import SiteBottleneck, SiteCrossAttention
from nasfuse.nn.sites.base import SiteOperator
from nasfuse.nn.sites.concat import SiteConcat
from nasfuse.nn.sites.se_add import SiteSeAdd
from nasfuse.nn.sites.sum import SiteSum

#: Operators by `operator` of a recipe, built with the width of the main stream, those of the others, and their options.
SITE_OPERATORS: dict[str, type[SiteOperator]] = {
    "se_add": SiteSeAdd,
    "sum": SiteSum,
    "concat": SiteConcat,
    "cross_attention": SiteCrossAttention,
    "bottleneck": SiteBottleneck,
}

__all__ = ["SITE_OPERATORS", "SiteOperator"]
