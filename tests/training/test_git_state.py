"""The state of git of a folder: found without filters or hooks, in a moment, and never an error."""

import os
import subprocess
import time

import pytest

from studygroup.training.git_state import UNKNOWN, GitState, git_state


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """A working tree with two files and one commit."""
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "a.py").write_text("a = 1\n")
    (folder / "inner" / "b.py").write_text("b = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def test_commit_and_changes_are_told_apart(tree):
    commit = git(tree, "rev-parse", "HEAD")
    clean = git_state(tree)
    assert (clean.commit, clean.changes) == (commit, None)
    assert git_state(tree / "inner") == clean
    (tree / "untracked.py").write_text("")
    os.utime(tree / "a.py", (time.time(), 1e9))  # another date, the same content
    assert git_state(tree) == clean

    seen = set()
    for write in (
        lambda: (tree / "a.py").write_text("a = 2\n"),
        lambda: (tree / "a.py").write_text("a = 3\n"),
        lambda: git(tree, "add", "a.py"),
        lambda: (tree / "inner" / "b.py").unlink(),
    ):
        write()
        found = git_state(tree)
        assert found.commit == commit
        assert found.changes is not None
        seen.add(found.changes)
    assert len(seen) == 4

    git(tree, "commit", "-qam", "two")
    assert git_state(tree).changes is None
    assert git_state(tree).commit != commit


def test_what_a_repository_configures_is_not_executed(tree, tmp_path):
    mark = tmp_path / "mark"
    (tree / ".gitattributes").write_text("*.py filter=mine diff=mine\n")
    git(tree, "add", ".gitattributes")
    git(tree, "commit", "-qm", "attributes")
    hook = tree / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    for key in (
        "filter.mine.clean",
        "filter.mine.process",
        "diff.mine.textconv",
        "diff.external",
        "core.fsmonitor",
    ):
        git(tree, "config", key, f"touch {mark};cat")
    mark.unlink(missing_ok=True)
    (tree / "a.py").write_text("a = 2\n")
    assert git_state(tree).changes is not None
    assert not mark.exists()
    git(tree, "status")
    assert mark.exists()  # it would have been


def test_a_tree_that_is_too_large_is_not_read(tree):
    assert git_state(tree, most=11) == GitState(commit=git(tree, "rev-parse", "HEAD"), changes=UNKNOWN)
    assert git_state(tree, most=12).changes is None


def test_without_git_nothing_is_said(tree, tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q")
    assert git_state(tmp_path / "new") is None  # no commit yet
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tree) is None
