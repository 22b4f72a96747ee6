"""Stepwise: a browser studio for text-to-image diffusion.

Each level may import only from those to its right; a comma means side by side, not each other. `tests/test_layers.py` reads this:

    cli > server > panels > studio > comparisons, downloads, pictures, residents > prompts, usual, workers > engine, store, jobs, access
        > comparison > request, events, settings, people > errors, sizes
"""

__version__ = "0.1.0"
