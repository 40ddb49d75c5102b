"""Who asks: sessions over circuits, ways through the fleet, and spot checks."""
