"""Emotion models: architectures, preprocessing, the folder a trained model is kept in, the classifier."""
