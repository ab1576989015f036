"""The Open Inference Protocol, version 2, over gRPC: the same answers, asked for by messages."""
