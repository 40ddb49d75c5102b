"""What runs the model: the entries and the layers' nodes."""
