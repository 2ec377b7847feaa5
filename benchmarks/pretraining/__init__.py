"""Training of the network for other structures: simulated half maps of known structures, and the training."""
