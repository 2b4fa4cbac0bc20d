"""Prices of runs, kept beside the results."""

import pytest

from reproduction.plan import Price, add_price, read_prices

PRICE = Price(step=3.6, updates=1000, scoring=0.36, batches=500, machine="a processor")


def test_a_price_is_kept_and_replaced(tmp_path):
    assert read_prices(tmp_path) == {}
    add_price(tmp_path / "results", "one", PRICE)
    add_price(tmp_path / "results", "two", PRICE)
    later = Price(step=7.2, updates=1000, scoring=0.0, batches=0, machine="another")
    add_price(tmp_path / "results", "one", later)
    assert read_prices(tmp_path / "results") == {"one": later, "two": PRICE}


def test_hours_are_those_of_steps_and_scoring():
    assert PRICE.hours == pytest.approx((3.6 * 1000 + 0.36 * 500) / 3600)


@pytest.mark.parametrize("content", ['{"one": {"step": 1.0}}', '{"one": {"step": 1.0'])
def test_a_file_without_prices_is_told_with_a_way_out(tmp_path, content):
    (tmp_path / "prices.json").write_text(content)
    with pytest.raises(ValueError, match=r"prices.json .*remove it"):
        read_prices(tmp_path)
