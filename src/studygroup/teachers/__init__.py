"""Teachers, which students imitate. A teacher says who is consulted, with what weight, and gives the targets."""

from studygroup.teachers.base import OneTeacher, Teacher, share_equally
from studygroup.teachers.fixed import MeanOfOthers, RandomSubgroup, Self
from studygroup.teachers.labelled import BestStudent, GeneralTeacher, LinearTeacher, MinLogit
from studygroup.teachers.learned import Gate, PeerAttention, PeerEnsemble, pooled
from studygroup.teachers.sources import Averages, Frozen

__all__ = [
    "Averages",
    "BestStudent",
    "Frozen",
    "Gate",
    "GeneralTeacher",
    "LinearTeacher",
    "MeanOfOthers",
    "MinLogit",
    "OneTeacher",
    "PeerAttention",
    "PeerEnsemble",
    "RandomSubgroup",
    "Self",
    "Teacher",
    "pooled",
    "share_equally",
]
