"""Training and measuring face detectors: photographs, views of them, a teacher, targets, the loop, the figures."""
