"""Schema of the recipes of ensembles, and reading of recipes of both kinds."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.spec.data_source import located
from nasfuse.spec.metric import MetricName
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe, read_recipe_document
from nasfuse.spec.schema.model import MisfitError, Model
from nasfuse.spec.schema.yaml_file import to_yaml
from nasfuse.spec.training import TrainingConfig


class MemberConfig(Model):
    """A member of an ensemble: a static network and its training.

    Attributes:
        network: Architecture.
        training: Training options.
    """

    network: NetworkConfig
    training: TrainingConfig = TrainingConfig()


class EnsembleRecipe(Model):
    """A complete description of an ensemble, stored as YAML.

    Members are trained separately, on the same data, and their predictions are averaged.

    Attributes:
        metric: Metric of validation and test, a key of `nasfuse.domain.metric.METRICS`.
        data: Data set of all members.
        ensemble: Networks and trainings.
    """

    metric: MetricName = "accuracy"
    data: DataConfig
    ensemble: Annotated[tuple[MemberConfig, ...], Field(min_length=2)]

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with every shorthand written out."""
        values = expand_modalities(values)
        if not isinstance(values, dict) or not isinstance(values.get("ensemble"), list):
            return values
        return {**values, "ensemble": [Recipe.expand(member) for member in values["ensemble"]]}

    @model_validator(mode="after")
    def _members_are_recipes(self) -> Self:
        for number, member in enumerate(self.ensemble):
            if member.network.router is not None:
                raise MisfitError(
                    f"ensemble.{number}.network.router", "members of an ensemble are static networks; remove it"
                )
            try:
                self._recipe_of(member)
            except ValidationError as error:
                cause = error.errors(include_url=False)[0]["ctx"]["error"]
                raise MisfitError(f"ensemble.{number}.{cause.key}", str(cause)) from None
        return self

    @property
    def members(self) -> tuple[Recipe, ...]:
        """Recipes of the members."""
        return tuple(self._recipe_of(member) for member in self.ensemble)

    @property
    def network(self) -> tuple[NetworkConfig, ...]:
        """Architectures of the members."""
        return tuple(member.network for member in self.ensemble)

    @property
    def drops_modalities(self) -> tuple[bool, ...]:
        """Whether training samples lose modalities, for each member."""
        return tuple(member.drops_modalities for member in self.members)

    @property
    def hash(self) -> str:
        """Hash of 12 hexadecimal digits over those of the members, in their order."""
        hashes = json.dumps([member.hash for member in self.members])
        return hashlib.sha256(hashes.encode()).hexdigest()[:12]

    @property
    def summary(self) -> str:
        """The networks in one line, for tables."""
        return summary_of_ensemble([member.summary for member in self.members])

    def to_yaml(self) -> str:
        """Returns the recipe as YAML, from which `load_recipe` restores an equal recipe."""
        return to_yaml(self.to_plain())

    def _recipe_of(self, member: MemberConfig) -> Recipe:
        return Recipe(metric=self.metric, data=self.data, network=member.network, training=member.training)


AnyRecipe = Recipe | EnsembleRecipe


def summary_of_ensemble(summaries: list[str]) -> str:
    """Returns a one-line description of an ensemble for tables, from those of its members."""
    return f"ensemble of {len(summaries)}: {' & '.join(summaries)}"


def parse_recipe(values: dict[str, Any], **where: Any) -> AnyRecipe:
    """Returns the recipe in a plain mapping, of an ensemble if it has the key `ensemble`.

    Args:
        values: Plain mapping.
        where: `document` or `source`, see `Model.parse`.

    Raises:
        ConfigError: With all problems at once.
    """
    kind: type[EnsembleRecipe] | type[Recipe] = EnsembleRecipe if "ensemble" in values else Recipe
    return kind.parse(values, **where)


def load_recipe(path: str | Path) -> AnyRecipe:
    """Returns the recipe in a YAML file, of a network or of an ensemble; see `Recipe.load`."""
    document = read_recipe_document(path)
    return parse_recipe(located(document.values, named_in=Path(path)), document=document)
