"""Starting from the weights of another training."""
