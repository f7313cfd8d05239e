"""Progress of reading and checking data in the terminal."""

import io

import pytest

from nasfuse.cli import data_bar as module
from nasfuse.cli.console import doing, new_console
from nasfuse.cli.data_bar import data_bar
from nasfuse.data.progress import progressed


@pytest.fixture
def console():
    return lambda *, is_terminal: new_console(file=io.StringIO(), force_terminal=is_terminal, width=100)


def test_a_bar_beside_another_display(console):
    terminal = console(is_terminal=True)
    with terminal.status("loading ..."), data_bar(terminal):
        progressed("reading photo", 1, 3)  # and no more
        for what in ("features of title", "features of photo"):
            for done in (1, 2):
                progressed(what, done, 2)
    progressed("features of nothing", 1, 2)
    text = terminal.file.getvalue()
    assert "reading photo" in text
    assert "features of title" in text
    assert "features of photo" in text
    assert "nothing" not in text
    assert terminal._live_stack == []


def test_names_that_look_like_markup(console):
    terminal = console(is_terminal=True)
    with doing(terminal, "reading [/].csv"), data_bar(terminal):
        progressed("reading [/]", 1, 2)
    assert "reading [/]" in terminal.file.getvalue()


def test_an_interruption_ends_the_bar(console):
    terminal = console(is_terminal=True)
    with pytest.raises(KeyboardInterrupt), data_bar(terminal):
        progressed("features of title", 1, 2)
        raise KeyboardInterrupt
    assert terminal._live_stack == []


def test_lines_where_there_is_no_terminal(console, monkeypatch):
    file = console(is_terminal=False)
    with data_bar(file):
        progressed("features of title", 1, 3000)
    assert file.file.getvalue() == "", "it took less than ten seconds"
    monkeypatch.setattr(module, "LINE_EVERY_S", -1.0)
    with data_bar(file):
        progressed("features of title", 2000, 3000)
    assert file.file.getvalue() == "features of title: 2,000 of 3,000\n"
