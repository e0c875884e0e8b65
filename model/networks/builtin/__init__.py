"""The seed's network: three convolutions, a dense array, two unfoldings."""
