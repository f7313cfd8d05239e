"""Metric and loss of a network on validation data during its training, with what is set on these data."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from nasfuse.data.dataset import Dataset
from nasfuse.nn.knob import knobs_at
from nasfuse.nn.network import Network
from nasfuse.nn.routing.gated import GatedNetwork
from nasfuse.nn.routing.network import RoutedNetwork
from nasfuse.spec.routing import GuaranteeConfig, RouterConfig
from nasfuse.tasks import task_kind
from nasfuse.tasks.losses import TrainingLoss
from nasfuse.train.evaluation import evaluate, evaluate_digests
from nasfuse.train.gate_table import GateTable
from nasfuse.train.guarantee import with_guarantee
from nasfuse.train.route_table import RouteTable
from nasfuse.train.routing import mean_route_loss
from nasfuse.train.tabulate import tabulate_routes, with_present_gate


class Validation:
    """Runs a network on validation data, each time only the parts that are asked for."""

    def __init__(
        self,
        network: Network,
        *,
        metric: str,
        loss: TrainingLoss,
        device: torch.device,
        router: RouterConfig | None,
        seed: int,
    ) -> None:
        """Stores what is measured.

        Args:
            network: Network in training, on `device`; every call leaves it in inference mode.
            metric: Name of the metric.
            loss: Loss of the training.
            device: CPU or GPU.
            router: Router of the recipe; None for a static network.
            seed: Seed of the division of the samples for thresholds with a guarantee.
        """
        self._network = network
        self._metric = metric
        self._loss = loss
        self._device = device
        self._router = router
        self._seed = seed
        self._fixed: GateTable | None = None

    def of_network(self, dataset: Dataset) -> tuple[float, float]:
        """Returns metric and loss of a static network."""
        return evaluate(
            self._network, dataset.val, metric=self._metric, task=dataset.task, device=self._device, loss=self._loss
        )

    def of_digests(self, digests: Tensor, dataset: Dataset) -> tuple[float, float]:
        """Returns metric and loss of a static network from the digests (n, m) of its outputs."""
        return evaluate_digests(digests, dataset.val, metric=self._metric, task=dataset.task, loss=self._loss)

    def of_costliest_route(self, dataset: Dataset) -> tuple[float, float]:
        """Returns metric and loss of the costliest route for all samples; the others do not run."""
        with knobs_at(self._network.knobs(), {"threshold": 0.0, "always": -1.0}):
            return self.of_network(dataset)

    def of_all_routes(self, dataset: Dataset) -> tuple[float, float]:
        """Returns the metric of the costliest route, and the mean loss of the routes."""
        table = self.table(dataset)
        if not table.is_finite:
            return float("nan"), float("nan")
        return table.set_to(None).at(0.0).metric, float(mean_route_loss(table.digests, self._loss_on(table)))

    def of_router(self, dataset: Dataset, *, resource_weight: float, is_frozen: bool) -> tuple[float, float]:
        """Returns metric and loss at the threshold of the recipe; the loss includes the weighted expected cost.

        Args:
            dataset: Its validation samples are the same in every call.
            resource_weight: Weight of the expected cost, which is relative to that of the costliest route.
            is_frozen: Whether the routes do not change any more, so that only the router runs again.
        """
        if is_frozen and self._fixed is not None:
            assert isinstance(self._network, GatedNetwork), "other routers are not trained"
            table: RouteTable = with_present_gate(self._fixed, self._network, dataset.val, device=self._device)
        else:
            table = self.table(dataset)
        if not table.is_finite:
            return float("nan"), float("nan")
        if is_frozen and isinstance(table, GateTable):
            self._fixed = table
        table, threshold = self.set_up(table)
        routed, loss = table.at(threshold), self._loss_on(table)(table.digests_of(table.chosen(threshold)))
        full = float(table.static_macs.double().mean(dim=0)[-1])
        return routed.metric, float(loss) + resource_weight * routed.macs / full

    def table(self, dataset: Dataset) -> RouteTable:
        """Returns the table of all routes."""
        assert isinstance(self._network, RoutedNetwork), "there are routes"
        return tabulate_routes(
            self._network, dataset.val, dataset, metric=self._metric, device=self._device, loss=self._loss
        )

    def set_up(self, table: RouteTable) -> tuple[RouteTable, float]:
        """Returns the calibrated table of validation data, and the threshold of the recipe for it."""
        router = self._router
        assert router is not None, "there are routes"
        if router.always is not None:
            return table.calibrated(), 0.0
        if router.macs is None and isinstance(router.threshold, GuaranteeConfig):
            return with_guarantee(table, router.threshold, seed=self._seed)
        calibrated = table.calibrated()
        return calibrated, router.initial_threshold if router.macs is None else calibrated.threshold_for(router.macs)

    def _loss_on(self, table: RouteTable) -> Callable[[Tensor], Tensor]:
        """Returns the function from digests (n, m) of the samples of a table to their mean loss."""
        return partial(task_kind(table.task.kind).split_loss, targets=table.targets, loss=self._loss)
