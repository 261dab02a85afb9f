"""Demonstrations of one arm or both: scripted experts and the recorder of what they do."""
