"""The Open Inference Protocol, version 2, over HTTP: the same answers, asked for by named tensors."""
