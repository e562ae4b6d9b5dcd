"""Emotion models: architectures, preprocessing, and the folder a trained model is kept in."""
