"""Pictures of runs: what is drawn, apart from the drawing."""
