"""Users' networks: a Python file with parameters, losses and maybe logits."""
