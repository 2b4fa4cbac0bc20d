"""What training with others costs."""

from studygroup.analysis.cost import Cost, parameters, saved_bytes, training_cost

__all__ = ["Cost", "parameters", "saved_bytes", "training_cost"]
