"""Tests of the engine, by cost: unit, integration, contract, acceptance; and its benchmark."""
