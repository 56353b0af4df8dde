"""Training of networks: the only place that imports torch. Import a module of it by its name: this file loads nothing.

`networks/` holds one architecture a file, `recipe.py` how each is trained, `material.py` what it is trained on,
`loop.py` the training itself and `export.py` the way to an ONNX file that the rest of rtsep runs without torch.
"""
