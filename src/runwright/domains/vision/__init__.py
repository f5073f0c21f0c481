"""Images: classification of coloured digits and of faces."""
