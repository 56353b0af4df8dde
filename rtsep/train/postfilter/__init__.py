"""The project's own network: corrects the gains against the bleed that the canceller leaves (`rtsep_kernels.learned`).

Concerts are simulated and cleaned by the canceller once (`concerts`); the very kernel that runs live writes down what
the network would see and weigh (`evidence`); the network (`network`) is fitted to what its gains would leave of them
(`sums`, `fitting`), and written as one step with explicit states (`exporting`).
"""
