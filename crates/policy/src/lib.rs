//! The IAM policy language: parse, evaluate in layers, explain.
