"""Both papers as data, run with studygroup: every table and figure, what was published, and what is claimed."""
