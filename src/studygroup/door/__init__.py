"""The front door of the command line: it answers requests for help and refuses mistyped words at once.

It reads a table of the commands, `commands.json`, written from the real parser by `python -m studygroup.door.write`,
and imports the standard library alone. What the table cannot know, such as the arguments of a class of the user's
own, goes on to the real parser, which checks everything again.
"""

from studygroup.door.answers import answer, enter

__all__ = ["answer", "enter"]
