"""The drawing, by matplotlib; loaded only when something is drawn."""
