"""Single-arm demonstrations: a scripted expert and the recorder of what it does."""
