"""A time that is over ends what is at work."""

import time
from contextlib import suppress

import pytest

from reproduction.gpu.budget import OutOfTimeError, limit


def test_a_time_that_is_over_says_so_again_where_it_was_not_heard():
    def deaf_once():
        with limit(0.01):
            with suppress(OutOfTimeError):
                time.sleep(5)
            time.sleep(5)

    with pytest.raises(OutOfTimeError):
        deaf_once()
