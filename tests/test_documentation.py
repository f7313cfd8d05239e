"""What the documentation says is there: links, files, commands with their options, fields and the lists of choices."""

import re
import typing
from pathlib import Path

import pytest
import typer.main

from nasfuse.cli.app import app
from nasfuse.data.columns import TRANSFORMS
from nasfuse.data.frozen import FROZEN_ENCODERS
from nasfuse.data.sources.registry import READERS
from nasfuse.domain.cost import COSTS
from nasfuse.domain.metric import METRICS
from nasfuse.domain.modality import ENCODERS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.search.history import HYPERVOLUME
from nasfuse.search.picks import KNEE
from nasfuse.spec.modality import (
    ArrayFilesConfig,
    AudioFilesConfig,
    ImageFeaturesConfig,
    ImageFilesConfig,
    TableConfig,
    TextConfig,
    TextFeaturesConfig,
)
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.schema.fields import known_paths, types_at
from nasfuse.spec.shipped import shipped_files
from nasfuse.spec.study import Sampler, StudyConfig

ROOT = Path(__file__).parents[1]
FUSION_KINDS = [kind for one in types_at(Recipe, "network.fusion.kind") for kind in typing.get_args(one)]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
FOLDERS = ("nasfuse", "tests", "benchmarks", "docs", "search_spaces", "studies", ".ci")


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def words_in(text):
    """The words in backticks."""
    return re.findall(r"`([^`\s]+)`", text)


def row(path, label):
    """The words in backticks of the table row that starts with `label`."""
    (line,) = re.findall(rf"^\| {label} \|(.*)$", text_of(path), flags=re.MULTILINE)
    return set(words_in(line))


def test_there_are_pages():
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= {page.name for page in PAGES}
    assert len(PAGES) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
class TestPages:
    def test_links_and_pictures_exist(self, page):
        targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
        assert missing == []

    def test_files_of_the_repository_exist(self, page):
        names = "|".join(re.escape(folder) for folder in FOLDERS)
        paths = re.findall(rf"(?<![\w./<-])((?:{names})/[\w./-]*\w)", page.read_text(encoding="utf-8"))
        places = [ROOT, ROOT / "benchmarks", page.parent]
        assert [path for path in paths if not any((place / path).exists() for place in places)] == []

    def test_commands_and_their_options_exist(self, page):
        text = page.read_text(encoding="utf-8")
        blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
        lines = re.findall(r"^(?:\$ )?((?:nasfuse|python cli\.py) .+)$", blocks, flags=re.MULTILINE)
        for line in [*lines, *re.findall(r"`(nasfuse [^`]+)`", text)]:
            check_command(line)


VERBS = {
    **typer.main.get_command(app).commands,
    **{f"data {name}": verb for name, verb in typer.main.get_command(app).commands["data"].commands.items()},
}


def options_of(verb):
    return {option for parameter in VERBS[verb].params for option in (*parameter.opts, *parameter.secondary_opts)}


def check_command(line):
    """Asserts that the verb of a command exists, and that every option beside it is one of its own."""
    arguments = line.removeprefix("python cli.py").removeprefix("nasfuse").split()
    verb = " ".join(arguments[:2]) if arguments[0] == "data" else arguments[0]
    if verb == "...":
        return
    if verb.startswith("-"):  # an option of the program
        assert verb in {option for parameter in typer.main.get_command(app).params for option in parameter.opts}, line
        return
    assert verb in VERBS, line
    unknown = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", " ".join(arguments[1:]))) - options_of(verb) - {"--help"}
    assert not unknown, line


class TestCommands:
    """The check of commands itself."""

    def test_good_ones_pass(self):
        check_command("nasfuse search mine.yaml --max-macs 5")
        check_command("nasfuse data check mine.npz")
        check_command("nasfuse --version")

    @pytest.mark.parametrize(
        ("line", "match"),
        [
            ("nasfuse serach mine.yaml", "serach"),
            ("nasfuse --verson", "verson"),
            ("nasfuse pareto runs/x --max-macs 5", "max-macs"),
        ],
    )
    def test_bad_ones_are_found(self, line, match):
        with pytest.raises(AssertionError, match=match):
            check_command(line)


class TestOptionsAlone:
    """Options that a page names without a command belong to some command."""

    @pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))])
    def test_named_options_exist(self, page):
        own = {option for verb in VERBS if verb != "data" for option in options_of(verb)}
        spans = [span for span in re.findall(r"`([^`]+)`", text_of(page)) if not span.startswith("python ")]
        named = {option for span in spans for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", span)}
        assert named <= own


def fields_in(page):
    """The paths in the first column of the table of fields; `.name` stands for another last part of the path before."""
    table = text_of(page).split("## Fields")[1].split("\n## ")[0]
    found = []
    for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE):
        parent = ""
        for word in words_in(cell):
            path = parent + word if word.startswith(".") else word
            found.append(path)
            parent = path.rpartition(".")[0] if not word.startswith(".") else parent
    return found


def drawable():
    """The fields that a space may draw: all of network and training, the routes of a router being part of the route."""
    paths = [path for path in known_paths(Recipe) if path.split(".")[0] in ("network", "training")]
    return [path for path in paths if path != "network.router.routes"]


class TestFields:
    def test_every_field_of_a_recipe_is_in_the_table_once(self):
        assert sorted(fields_in("docs/spaces.md")) == sorted(drawable())

    def test_fields_of_equilibrium_fusion_are_in_their_table(self):
        own = {path.rpartition(".")[2] for path in types_of_fusion("equilibrium")}
        shared = {"placement", "dropout", "expansion", "kind"}
        assert set(first_cells("docs/equilibrium.md")) == own - shared

    def test_every_key_of_a_study_is_in_the_example(self):
        block = text_of("docs/spaces.md").split("## Studies")[1].split("```")[1]
        assert set(re.findall(r"^([a-z_]+):", block, flags=re.MULTILINE)) == set(StudyConfig.model_fields)

    @pytest.mark.parametrize(
        ("key", "names"),
        [("metric", METRICS), ("cost", COSTS), ("sampler", typing.get_args(Sampler))],
        ids=["metric", "cost", "sampler"],
    )
    def test_the_example_of_a_study_names_all_choices(self, key, names):
        (line,) = re.findall(rf"^{key}: (.*)$", text_of("docs/spaces.md"), flags=re.MULTILINE)
        assert set(re.findall(r"\w+", line)) - {"or"} == set(names)

    @pytest.mark.parametrize(
        ("field", "names"),
        [
            (r"`network\.streams\.\*\.encoder`", {name for names in ENCODERS.values() for name in names}),
            (r"`network\.fusion\.kind`", FUSION_KINDS),
        ],
        ids=["encoder", "fusion"],
    )
    def test_choices_of_a_field_are_complete(self, field, names):
        assert row("docs/spaces.md", field) == set(names)


def types_of_fusion(kind):
    """The fields of one kind of fusion."""
    from nasfuse.spec.network import NetworkConfig

    network = {"route": ["a", "b"], "streams": {name: {"encoder": "mlp"} for name in "ab"}, "fusion": {"kind": kind}}
    fusion = NetworkConfig.parse(network).fusion
    return list(type(fusion).model_fields)


def first_cells(page):
    """The words of the first column of the table `| field | values |`."""
    table = text_of(page).split("| field | values |")[1].split("\n\n")[0]
    return [word for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE) for word in words_in(cell)]


class TestReadme:
    @pytest.mark.parametrize(
        ("label", "names"),
        [
            ("fusion", FUSION_KINDS),
            ("encoder", {name for names in ENCODERS.values() for name in names}),
            ("reducer", REDUCERS),
            ("metric", METRICS),
            ("cost", COSTS),
            ("sampler", typing.get_args(Sampler)),
            ("space", shipped_files("search_spaces")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_lists_agree_with_what_there_is(self, label, names):
        assert row("README.md", label) == set(names)

    def test_shipped_studies_are_listed(self):
        (sentence,) = re.findall(r"Shipped studies: (.*?)\.\s", text_of("README.md"), flags=re.DOTALL)
        assert set(words_in(sentence)) == set(shipped_files("studies"))

    def test_every_verb_is_shown(self):
        shown = set(re.findall(r"nasfuse ((?:data )?[a-z]+)", text_of("README.md")))
        assert set(VERBS) - {"data"} <= shown

    def test_verbs_in_the_change_log(self):
        (line,) = re.findall(r"^- Command line: (.*)$", text_of("CHANGELOG.md"), flags=re.MULTILINE)
        assert set(words_in(line)) == set(typer.main.get_command(app).commands)


class TestOtherLists:
    def test_kinds_of_modalities_and_their_options(self):
        table = text_of("docs/data.md").split("| kind | becomes |")[1].split("\n\n")[0]
        cells = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
        assert {word for cell in cells for word in words_in(cell[0])} == set(TRANSFORMS)
        for config in (
            TableConfig,
            TextConfig,
            ImageFilesConfig,
            AudioFilesConfig,
            ArrayFilesConfig,
            TextFeaturesConfig,
            ImageFeaturesConfig,
        ):
            (kind,) = typing.get_args(config.model_fields["kind"].annotation)
            (options,) = (cell[2] for cell in cells if kind in words_in(cell[0]))
            assert config.model_fields.keys() - {"kind"} <= set(words_in(options))

    def test_libraries_of_frozen_encoders(self):
        table = text_of("docs/data.md").split("| `library` |")[1].split("\n\n")[0]
        rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
        shown = {
            (kind, library)
            for cells in rows
            for library in words_in(cells[0].split("(")[0])
            for kind in cells[1].split()
        }
        assert {(kind.strip(","), library) for kind, library in shown} == {
            ({"text_features": "text", "image_features": "images"}[kind], library) for kind, library in FROZEN_ENCODERS
        }

    def test_endings_of_files(self):
        table = text_of("docs/data.md").split("| `data.source` |")[1].split("\n\n")[0]
        first = re.findall(r"^\| (.*?) \|", table, flags=re.MULTILINE)
        assert {word for cell in first for word in words_in(cell) if word[0] == "."} == {*READERS, ".npy"}

    def test_reducers_in_their_table(self):
        table = text_of("docs/sparse.md").split("| kind | ")[1].split("\n\n")[0]
        first = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
        assert {word for cell in first for word in words_in(cell)} == set(REDUCERS)

    def test_costs_of_reducers(self):
        cells = re.findall(r"^\| (`.*?) \|", text_of("docs/costs.md"), flags=re.MULTILINE)
        assert {word for cell in cells for word in words_in(cell.partition(",")[0] + cell)} >= set(REDUCERS)

    def test_layers_in_contributing(self):
        table = text_of("CONTRIBUTING.md").split("## Layers")[1].split("\n\n")[1]
        named = {word for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE) for word in words_in(cell)}
        here = {path.stem for path in (ROOT / "nasfuse").iterdir() if not path.name.startswith(("_", "py."))}
        assert named == here


@pytest.mark.parametrize("definition", [KNEE, HYPERVOLUME], ids=["knee", "hypervolume"])
def test_words_have_one_definition(definition):
    """The sentence of the report is that of the documentation."""
    assert definition in " ".join(text_of("docs/spaces.md").split())
