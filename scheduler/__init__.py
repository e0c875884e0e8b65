"""Takes runs, cuts shards, gathers gradients, averages, assigns."""
