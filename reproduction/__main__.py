"""`python -m reproduction`: it minds signals while it imports what a command needs, which takes seconds."""

import sys

from studygroup.stopping import end_quietly, go_on_with, run_program


def _main() -> int:
    from reproduction.command import main

    return main()


if __name__ == "__main__":
    status = run_program(go_on_with("python", "-m", "reproduction", *sys.argv[1:]), _main)
    end_quietly()
    sys.exit(status)
