"""Small inputs for every test: one modality of each kind, batches and data sets of them, networks and recipes."""

import gc
import shutil
import signal
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import register_random

from nasfuse.cost import measure_latency
from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.domain.modality import Task
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.recipe import Recipe
from nasfuse.testing.inputs import IDS, IMAGE, MODALITIES, SEQUENCE, VECTOR, random_batch
from nasfuse.train import measure

#: Options of fusion kinds in every test that takes all kinds: what they find must not depend on a solver's steps.
FUSION_OPTIONS = {"equilibrium": {"gradient": "unroll", "max_steps": 3}}


class TorchRandom:
    """Torch's generator as hypothesis wants it, so that every example of a property draws the same numbers again."""

    seed = staticmethod(torch.default_generator.manual_seed)
    getstate = staticmethod(torch.get_rng_state)
    setstate = staticmethod(torch.set_rng_state)


TORCH_RANDOM = TorchRandom()
register_random(TORCH_RANDOM)


def pytest_collection_modifyitems(items):
    """Runs files with slow tests first, so that none of them is left for one worker while the others are idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Leaves what was loaded before the tests out of garbage collections, and makes these rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="session")
def _default_signals():
    """Processes of tests react to signals even where the tests were started in the background or with nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def _ray_without_niceness():
    """Ray's workers, whose niceness is 15 by default, get their share of a processor beside other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _seeds_without_devices():
    """Where there is no GPU, `torch.manual_seed` formats a stack for later calls on every kind of device, in 4 ms."""
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():
            patch.setattr(torch, "manual_seed", torch.default_generator.manual_seed)
        yield


@pytest.fixture(autouse=True, scope="session")
def _short_latency_measurements():
    """Operating points have latencies of a few calls; no test depends on how exact these are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(measure.__globals__, "measure_latency", partial(measure_latency, n_warmup=1, n_runs=3))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_reading_of_schema_migrations():
    """Optuna reads its schema migrations once, not several times whenever a storage is opened."""
    from optuna.storages._rdb.storage import _VersionManager

    read, found = _VersionManager._create_alembic_script, []

    def read_once(self):
        if not found:
            found.append(read(self))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "_create_alembic_script", read_once)
        yield


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def modalities():
    """By name: v a vector, s a sequence, q a sequence of ids, i an image."""
    return MODALITIES


@pytest.fixture(scope="session")
def make_batch():
    """Batches of random numbers, see `random_batch`."""
    return random_batch


@pytest.fixture(scope="session")
def make_config():
    """Network configurations from stream name to encoder."""

    def make(
        encoders,
        *,
        fusion=None,
        placement=1,
        width=8,
        depth=2,
        stride=1,
        reducer=("max", 0.5),
        window=None,
        readout="mean",
        dropout=0.0,
    ):
        """A reducer or readout that convolutions cannot have is max pooling or the mean there."""
        kind, keep_ratio = reducer
        streams = {}
        for position, (name, encoder) in enumerate(encoders.items()):
            # Widths differ, so that projections to the fused width are needed for some streams and not for others.
            if encoder == "linear":
                streams[name] = {"encoder": encoder, "dropout": dropout}
                continue
            stream = {"encoder": encoder, "depth": depth, "width": width * (1 + position % 2), "dropout": dropout}
            if encoder == "random_conv":
                stream |= {"stride": stride, "n_kernels": 6, "n_dilations": 2}
            elif encoder == "resnet":
                stream |= {"stride": 1}
            elif encoder == "conv":
                own = kind if kind in ("max", "average") else "max"
                stream |= {"stride": stride, "reducer": {"kind": own, "keep_ratio": keep_ratio}}
                stream |= {"readout": "mean" if readout == "cls" else readout}
            elif encoder == "transformer":
                stream |= {"stride": stride, "reducer": {"kind": kind, "keep_ratio": keep_ratio}}
                stream |= {"window": window, "readout": readout}
            streams[name] = stream
        plain = {"route": list(encoders), "streams": streams}
        if fusion is not None:
            options = FUSION_OPTIONS.get(fusion, {})
            shape = {} if fusion == "late" else {"placement": placement, "width": width, "dropout": dropout}
            plain["fusion"] = {"kind": fusion, **shape, **options}
        return NetworkConfig.parse(plain)

    return make


@pytest.fixture(scope="session")
def make_dataset():
    """Data sets of all four modalities whose labels can be learnt from the vector and the sequence together."""

    def make(task="multiclass", *, n_samples=120, seed=0, name="synthetic"):
        rng = np.random.default_rng(seed)
        vector = rng.normal(size=(n_samples, *VECTOR.shape)).astype(np.float32)
        sequence = rng.normal(size=(n_samples, *SEQUENCE.shape)).astype(np.float32)
        lengths = rng.integers(3, SEQUENCE.shape[0] + 1, n_samples)
        bits = rng.integers(0, 2, (n_samples, 2))
        vector[:, 0] += 4 * bits[:, 0] - 2
        sequence[:, :, 0] += (4 * bits[:, 1] - 2)[:, None]
        targets = {
            "multiclass": bits[:, 0] * 2 + bits[:, 1],
            "multilabel": bits,
            "regression": bits.sum(axis=1) - 1.0,
        }[task]
        return build_dataset(
            name,
            {
                "v": ModalityArrays("vector", vector),
                "s": ModalityArrays("sequence", sequence, lengths=lengths),
                "q": ModalityArrays(
                    "sequence", rng.integers(0, IDS.vocabulary, (n_samples, *IDS.shape)), vocabulary=IDS.vocabulary
                ),
                "i": ModalityArrays("image", rng.integers(0, 256, (n_samples, *IMAGE.shape)).astype(np.uint8)),
            },
            targets=targets,
            task=task,
        )

    return make


@pytest.fixture(scope="session")
def dataset(make_dataset):
    """120 samples in four classes."""
    return make_dataset()


@pytest.fixture(scope="session")
def make_recipe(make_config):
    """Recipes that train in well under a second."""

    def make(*, encoders=None, fusion="concat", metric="accuracy", placement=1, dropout=0.1, router=None, **training):
        streams = encoders or {"v": "mlp", "s": "conv"}
        network = make_config(streams, fusion=fusion, placement=placement, dropout=dropout).to_plain()
        return Recipe.parse(
            {
                "metric": metric,
                "data": {"source": "synthetic"},
                "network": {**network, **({"router": router} if router else {})},
                "training": {"epochs": 4, "batch_size": 32, "lr": 0.01, **training},
            }
        )

    return make


@pytest.fixture(scope="session")
def task():
    """Four classes."""
    return Task("multiclass", 4)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory):
    """Run folders of a small study of the digits, without training: what trials measured is told.

    Runs of equal results are made once and copied.
    """
    from nasfuse.backends.outcome import Stopped
    from nasfuse.data.sources.digits import load_digits
    from nasfuse.domain.metric import METRICS
    from nasfuse.domain.operating_point import Measurements, OperatingPoint
    from nasfuse.experiment.atomic_files import write_text
    from nasfuse.experiment.run import make_space
    from nasfuse.experiment.run_folder import RunFolder
    from nasfuse.search.scheduler import Scheduler
    from nasfuse.search.storage import open_storage
    from nasfuse.spec.study import BudgetConfig, StudyConfig

    dataset = load_digits()
    plain = {
        "name": "small",
        "data": {"source": "digits"},
        "space": {
            "fields": {
                "network.route": {"subsets": True},
                "network.streams.*.width": {"choices": [8, 16, 32], "when": {"network.route": {"has": "*"}}},
                "training.lr": {"float": [1e-3, 1e-1], "log": True},
            },
            "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": 2},
            "baselines": {"one [stream]": {"network.route": "each"}, "both": {"network.route": "all"}},
        },
        "budget": {"trials": 6},
    }

    made = {}

    def make(root, results, **changes):
        """`results`: for each trial (metric, MACs), several of them, the reason of a failure, None if it runs, a metric
        if early stopping ended it with that after its first epoch, or `Stopped` if the time was over."""
        key = repr((results, changes))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("run")
            make_first(made[key], results, **changes)
        shutil.copytree(made[key], root, dirs_exist_ok=True)
        return RunFolder(root)

    def make_first(root, results, **changes):
        budget = {"repeats": 1, **changes.pop("budget", plain["budget"])}
        study = StudyConfig.parse({**plain, **changes, "budget": budget})
        folder = RunFolder(root)
        folder.claim(study)
        storage = open_storage(folder.storage_url(study))
        roomy = study.model_copy(update={"budget": BudgetConfig(trials=100, repeats=budget["repeats"])})
        scheduler = Scheduler(
            storage,
            roomy,  # all hand-made designs come first, however small the budget of the folder
            make_space(study, dataset),
            macs_of=lambda recipe: 1,
            reference=lambda: (0.1 if METRICS[study.metric].direction == "maximize" else 4.0, 1e6),
            fingerprint=dataset.fingerprint,
        )
        for result in results:
            assignment = scheduler.next()
            write_text(folder.trial(assignment.number) / "recipe.yaml", assignment.recipe.to_yaml())
            if isinstance(result, str):
                scheduler.fail(assignment.number, result)
            elif isinstance(result, float):
                scheduler.should_continue(assignment.number, epoch=1, metric=result)
                scheduler.stop(assignment.number, epoch=1, metric=result)
            elif isinstance(result, Stopped):
                scheduler.stop(assignment.number, epoch=result.epoch, metric=result.metric, out_of_time=True)
            elif result is not None:
                points = tuple(
                    OperatingPoint(
                        metric=metric, macs=macs, params=macs // 2, latency_s=1e-3, latency_iqr_s=1e-5, peak_bytes=4096
                    )
                    for metric, macs in (result if isinstance(result, list) else [result])
                )
                scheduler.finish(assignment.number, Measurements(points, {"epochs": 2, "epochs_asked": 3}))
        storage.remove_session()
        storage.engine.dispose()  # the last connection moves SQLite's log into its file

    return make
