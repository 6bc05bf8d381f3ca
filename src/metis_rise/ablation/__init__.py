"""Arms of an experiment: what is done to a model from one base under one budget, with several seeds, and compared."""
