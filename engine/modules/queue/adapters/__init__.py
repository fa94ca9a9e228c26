"""Where messages wait: the contract, in memory, in the database."""
