"""Policies that are fine-tuned on what they themselves do: a residual on a frozen base."""
