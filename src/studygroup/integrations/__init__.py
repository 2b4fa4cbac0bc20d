"""The training loops of other libraries: `integrations.transformers` and `integrations.lightning`.

Each module imports the core and the library that it is named after, and is imported by its full name. accelerate and
timm need none: `accelerator.prepare(task, ...)`, `timm.optim.create_optimizer_v2(task, ...)` and `ModelEmaV3(task)`
take a task as they take a network; docs/loops.md shows every loop.
"""
