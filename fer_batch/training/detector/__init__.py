"""Training and measuring face detectors: photographs, views of them, targets, the loss, the loop, the figures."""
