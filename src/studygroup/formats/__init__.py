"""Files that other libraries open: ONNX, torch.export, folders of transformers and timm, the hub's model card.

Each function writes one network, opens what it wrote with the library that it is meant for, and compares the answers.
"""

from studygroup.formats.facts import Facts
from studygroup.formats.graphs import save_onnx, save_program
from studygroup.formats.hub_card import card
from studygroup.formats.huggingface_folder import save_huggingface
from studygroup.formats.pushing import push
from studygroup.formats.timm_folder import save_timm

__all__ = ["Facts", "card", "push", "save_huggingface", "save_onnx", "save_program", "save_timm"]
