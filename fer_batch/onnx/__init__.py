"""Networks as ONNX files: written, quantized to INT8, and computed on the processor."""
