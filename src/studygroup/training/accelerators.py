"""Whether the accelerators that a run asks for are there."""

import torch


def check_accelerator(name: str) -> None:
    """Refuse an accelerator, by Lightning's flag, that Lightning does not know or that is not there.

    Raises:
        ValueError: names those that are there.
    """
    from lightning.pytorch.accelerators import AcceleratorRegistry  # seconds that only training needs

    known = {
        key: AcceleratorRegistry[key]["accelerator"] for key in AcceleratorRegistry.available_accelerators()
    }
    there = sorted(key for key, some in known.items() if some.is_available())
    chosen = [key for key in (("cuda", "mps") if name == "gpu" else (name,)) if key in there]
    if name != "auto" and not chosen:
        what = "is not there" if name in known or name == "gpu" else "is none that Lightning knows"
        raise ValueError(
            f"accelerator {name!r} {what}; this machine has {', '.join(there)} (auto takes the best)"
        )


def check_devices(name: str, devices: int) -> None:
    """Refuse more devices than this machine has; a CPU takes any number of processes.

    Raises:
        ValueError: there are fewer GPUs.
    """
    here = torch.cuda.device_count()
    if name in ("cuda", "gpu", "auto") and here and devices > here:
        raise ValueError(
            f"devices={devices}, and this machine has {here} GPUs; give at most {here}, or accelerator=cpu"
        )
