"""The pages in a browser, opened from disk: no error, no request, and everything that can be clicked works."""

import itertools
import json
import re
import shutil

import pytest

from nasfuse.experiment.run_reader import read_run
from nasfuse.report.comparison import compare
from nasfuse.report.comparison_figure import write_comparison_page
from nasfuse.report.html import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser):
    """Opens a file; at the end there was no message in the console, no error, and no request but that for the file."""
    contexts, problems = [], []

    def open_file(path, size=DESKTOP, scheme="light"):
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        address = path.as_uri()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        known = (address, "data:")  # the file itself, and pictures in it
        page.on("request", lambda request: None if request.url.startswith(known) else problems.append(request.url))
        page.set_default_timeout(10_000)
        page.goto(address)
        page.wait_for_selector("figure svg path", state="attached")
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize(
    ("family", "count", "shown"),
    [
        ("static", 10, "By class, on 60 validation samples"),
        ("routed", 10, "Samples by route, cheapest first"),
        ("sparse", 300, "Confusion matrix"),
        ("equilibrium", 300, "Solver steps of the equilibrium (joint)"),
        ("dense", 10, "Validation samples: inputs, labels, and what each route predicts"),
    ],
)
def test_a_point_can_be_looked_at_and_chosen(make_page, open_page, family, count, shown):
    path = make_page(family, count)
    assert path.stat().st_size < 2_000_000
    page = open_page(path)
    chart = page.locator("figure[data-chart=front]")
    spots = chart.locator("[data-id]")
    last = spots.last  # the best point of the front
    label = last.get_attribute("data-id")
    box = last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = chart.locator(".tip")
    assert re.search(rf"trial {label}\b.*: accuracy .*MACs.*{family}", tip.inner_text(), re.DOTALL)
    assert page.locator("#panel").is_hidden()
    page.mouse.down()
    page.mouse.up()
    panel = page.locator("#panel")
    assert re.fullmatch(rf"nasfuse export .* --trial {label} -o recipe\.yaml", page.locator("#command").inner_text())
    for text in (shown, "Learning curves", "Losses", "Recipe, as export writes it", "route: "):
        assert text in panel.inner_text()
    assert page.locator("tr.chosen").count() == 1
    assert page.title().startswith("</script><script>document.title='broken'"), "nothing in it has been run"


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_pictures_of_samples(make_page, open_page, size):
    page = open_page(make_page("dense", 10), size=size)
    page.locator("tr [data-point]").first.press("Enter")
    pictures = page.locator(".sample img")
    assert pictures.evaluate_all("images => images.map((one) => one.naturalWidth)") == [16, 16, 16, 16]
    names = page.locator(".sample figcaption").all_inner_texts()
    assert names == ["rgb", "labels", "left", "left+right (taken)"]
    assert pictures.first.get_attribute("alt") == "rgb of sample 7"
    assert page.locator(".classes li").count() == 4


def test_keys_do_what_the_pointer_does(make_page, open_page):
    page = open_page(make_page("static", 10))
    front = page.locator("figure[data-chart=front] g:last-of-type > [data-id]")
    labels = [spot.get_attribute("data-id") for spot in front.all()]
    front.first.focus()
    assert labels[0] in page.locator("figure[data-chart=front] .tip").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert f"--trial {labels[1]} " in page.locator("#command").inner_text()
    assert page.evaluate("document.activeElement.dataset.id") == labels[1], "the focus stays"
    page.locator("tr [data-point]").first.press("Enter")
    assert f"--trial {labels[0]} " in page.locator("#command").inner_text()


def test_series_can_be_hidden(make_page, open_page):
    page = open_page(make_page("routed", 10))
    chart = page.locator("figure[data-chart=front]")
    before = chart.locator("[data-id]").count()
    names = chart.locator(".legend button").all_inner_texts()
    assert {"front", "hand-made designs", "random mix of routes", "confidence cascade of routes"} <= set(names)
    button = chart.get_by_role("button", name="suggested", exact=True)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert 0 < chart.locator("[data-id]").count() < before
    button.click()
    assert chart.locator("[data-id]").count() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(make_page, open_page, scheme):
    page = open_page(make_page("static", 10), scheme=scheme)
    first = background(page)
    assert (sum(map(int, re.findall(r"\d+", first)[:3])) < 200) == (scheme == "dark")
    page.locator("#theme").click()
    second = background(page)
    assert second != first
    page.locator("#theme").click()
    assert background(page) == first


def test_a_phone_scrolls_in_one_direction(make_page, open_page):
    page = open_page(make_page("routed", 300), size=PHONE)
    page.locator("tr [data-point]").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    svg = page.locator("figure[data-chart=front] svg").last
    assert svg.bounding_box()["width"] <= PHONE["width"]


@pytest.mark.parametrize(
    "results",
    [
        [(0.9, 1_234_567), (0.96129, 1_240_000)],
        [(0.3, 10), (0.96121, 1_234_567), (0.96129, 3_700_000)],
        [(0.00111, 10), (0.0012345, 1010)],
    ],
)
def test_labels_of_charts_are_whole(make_run, tmp_path, open_page, results):
    write_report(tmp_path / "report.html", read_run(make_run(tmp_path / "run", results)))
    page = open_page(tmp_path / "report.html", size=PHONE)
    for width in (390, 500):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_function(
            "() => [...document.querySelectorAll('figure > svg')].every("
            "(one) => Math.abs(one.viewBox.baseVal.width - one.clientWidth) < 1)"
        )
        charts = page.locator("figure > svg").evaluate_all(_BOXES)
        assert len(charts) == 4
        for (left, right), texts in charts:
            assert len(texts) > 5
            assert all(left <= text["x"] and text["x"] + text["width"] <= right for text in texts)
            pairs = [pair for pair in itertools.combinations(texts, 2) if _overlap(*pair)]
            assert [(one["text"], other["text"]) for one, other in pairs] == []


#: Left and right end of each chart, and the box of each of its texts.
_BOXES = """charts => charts.map((chart) => {
  const frame = chart.getBoundingClientRect();
  const boxes = [...chart.querySelectorAll("text")].map((one) => [one.textContent, one.getBoundingClientRect()]);
  const plain = boxes.map(([text, box]) => ({ text, x: box.x, y: box.y, width: box.width, height: box.height }));
  return [[frame.left, frame.right], plain];
})"""


def _overlap(one, other):
    """Returns whether two boxes share more than a rounded pixel."""
    return all(
        min(one[at] + one[long], other[at] + other[long]) - max(one[at], other[at]) > 1
        for at, long in (("x", "width"), ("y", "height"))
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_heads_of_the_confusion_matrix_are_whole(make_page, open_page, size):
    page = open_page(make_page("static", 10), size=size)
    page.locator("tr [data-point]").first.press("Enter")
    heads = page.locator(".matrix th[scope=col]")
    assert heads.count() == 4
    assert all(heads.evaluate_all("all => all.map((one) => one.scrollWidth <= one.clientWidth)"))


@pytest.mark.parametrize("family", ["routed", "dense"])
def test_tables_of_figures_fit_on_a_phone(make_page, open_page, family):
    """Each row is a block there, whose cells say what they are; on a desktop it is a row under the titles."""
    page = open_page(make_page(family, 10), size=PHONE)
    page.locator("tr [data-point]").first.press("Enter")
    tables = page.locator(".cards")
    assert tables.count() == {"routed": 4, "dense": 5}[family]
    assert all(tables.evaluate_all("all => all.map((one) => one.scrollWidth <= one.clientWidth)"))
    first = page.locator(".cards", has_text="epochs saved").locator("td").first
    assert first.evaluate("cell => getComputedStyle(cell, '::before').content") == '"ended"'
    assert first.inner_text() == "3"
    page.set_viewport_size(DESKTOP)
    assert first.evaluate("cell => getComputedStyle(cell, '::before').content") == "none"
    assert page.locator(".cards th[scope=col]").first.is_visible()


def test_charts_have_names(make_page, open_page):
    page = open_page(make_page("static", 10))
    charts = page.locator("figure > svg").all()
    assert len(charts) == 4
    for chart in charts:
        assert chart.get_attribute("role") in ("img", "group")
        ids = chart.get_attribute("aria-labelledby").split()
        assert all(page.locator(f"#{one}").text_content() for one in ids)


def test_the_comparison(make_run, tmp_path, open_page):
    runs = [
        read_run(make_run(tmp_path / name, [(0.5, 10), (metric, 1000)])) for name, metric in (("a", 0.7), ("b<i>", 0.8))
    ]
    write_comparison_page(tmp_path / "fronts.html", compare(runs))
    page = open_page(tmp_path / "fronts.html")
    chart = page.locator("figure[data-chart=fronts]")
    assert chart.locator(".legend button").all_inner_texts() == ["a", "b<i>"]
    markers = chart.locator("svg[role=img] g > g")
    box = markers.last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert chart.locator(".tip").inner_text().startswith("b<i>\ntrial 1")
    series = json.loads(page.locator("#data").text_content())["charts"]["fronts"]["series"]
    assert len({(one["mark"], one["dash"]) for one in series}) == 2, "they differ without colours"
