"""Where values are kept: one contract, its implementations, and the executor that commits them."""
