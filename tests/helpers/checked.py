"""The checker behind the annotations: an int passes where a float is asked for, as in Python itself."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
