"""Who listens to whom: an imitation rule is a matrix with student i's weights over his peers in row i."""

from studygroup.listen.base import Listener, share_equally
from studygroup.listen.fixed import MeanOfOthers, Pairwise, RandomSubgroup
from studygroup.listen.labelled import BestStudent, GeneralTeacher, LinearTeacher, MinLogit
from studygroup.listen.learnt import Gate, PeerAttention, PeerEnsemble, pooled

__all__ = [
    "BestStudent",
    "Gate",
    "GeneralTeacher",
    "LinearTeacher",
    "Listener",
    "MeanOfOthers",
    "MinLogit",
    "Pairwise",
    "PeerAttention",
    "PeerEnsemble",
    "RandomSubgroup",
    "pooled",
    "share_equally",
]
