"""Leaves the mark when it is imported."""

from helpers.hostile import mark

mark()


def harmless(rows, *, generator):
    return rows
