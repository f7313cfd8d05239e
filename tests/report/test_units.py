"""Numbers with units for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.ticker import EngFormatter

from nasfuse.report.units import cost_label, with_prefix


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 MACs"),
        (1, "1 MACs"),
        (999, "999 MACs"),
        (999.6, "1 kMACs"),
        (1000, "1 kMACs"),
        (48_210, "48.2 kMACs"),
        (999_400, "999 kMACs"),
        (999_600, "1 MMACs"),
        (12_345_678, "12.3 MMACs"),
        (3.2e9, "3.2 GMACs"),
        (5e12, "5 TMACs"),
        (0.5, "500 mMACs"),
        (7e-6, "7 µMACs"),
        (2e-9, "2 nMACs"),
    ],
)
def test_three_digits_and_a_prefix(value, text):
    assert with_prefix(value, "MACs") == text


@given(st.floats(1e-9, 1e14))
def test_at_most_three_digits_in_front_and_close_to_the_value(value):
    number, unit = with_prefix(value, "s").split(" ")
    factor = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1, "m": 1e-3, "µ": 1e-6, "n": 1e-9}[unit.removesuffix("s")]
    assert "e" not in number
    assert len(number.replace(".", "")) <= 4 or value >= 1e15
    assert float(number) * factor == pytest.approx(value, rel=0.006)


@given(st.floats(1e-12, 1e18))
def test_matplotlib_writes_the_same(value):
    expected = EngFormatter(unit="s").format_data(float(f"{value:.3g}"))
    assert with_prefix(value, "s") == expected


@pytest.mark.parametrize(
    ("cost", "text"), [("macs", "2 kMACs"), ("params", "2 k"), ("latency_s", "2 ks"), ("peak_bytes", "2 kB")]
)
def test_a_cost_is_written_with_its_unit(cost, text):
    assert cost_label(cost, 2000) == text
    assert cost_label("params", 2) == "2"
