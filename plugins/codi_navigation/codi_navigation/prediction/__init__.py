"""The predictor: what joint commands lead to, if nobody is in the way."""
