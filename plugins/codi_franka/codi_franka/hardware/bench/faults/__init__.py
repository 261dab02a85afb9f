"""Faults one by one and in pairs, while both arms move: what happens, how soon they rest."""
